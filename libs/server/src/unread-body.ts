import { readFileSync } from 'node:fs';
import type { FastifyRequest } from 'fastify';
import { documentAt } from './documents.js';
import { ProblemException } from './problem-exception.js';

/** Whether the route that a request was led to reads a body. */
export type ReadsBody = (request: FastifyRequest) => boolean;

/** The refusal of a body that nobody reads. */
export function unreadBody(): ProblemException {
  const detail = 'Leave out the body here';
  const errors = [{ pointer: '', code: 'INVALID_REQUEST', detail }];
  return new ProblemException('INVALID_REQUEST', detail, { errors });
}

/** As the OpenAPI document of an app says, which is read when it is first needed. A route that it does not describe may read one. */
export function readersOf(name: string): ReadsBody {
  let without: ReadonlySet<string> | undefined;
  return ({ method, routeOptions }) => {
    without ??= withoutBody(JSON.parse(readFileSync(documentAt(name), 'utf8')) as Document);
    const path = routeOptions.url?.replace(/:([A-Za-z]+)/g, '{$1}');
    return !without.has(`${method} ${path}`);
  };
}

interface Document {
  paths: Record<string, Record<string, { requestBody?: unknown }>>;
}

function withoutBody({ paths }: Document): Set<string> {
  const all = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
  );
  const some = all.filter(({ operation }) => operation.requestBody === undefined);
  return new Set(some.map(({ path, method }) => `${method.toUpperCase()} ${path}`));
}
