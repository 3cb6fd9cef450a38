import { readFileSync } from 'node:fs';
import type { FastifyRequest } from 'fastify';
import { documentAt } from './documents.js';

/** What is known beforehand of the route that a request was led to. */
export interface RouteTraits {
  readsBody: boolean;
  /** It asks for a token or key before anything else, and is opened by none of what a body may hold. */
  isGuarded: boolean;
}

/** Tells the traits of a request's route. */
export type TraitsOf = (request: FastifyRequest) => RouteTraits;

/** Of a route that nobody describes. */
export const UNDESCRIBED: RouteTraits = { readsBody: true, isGuarded: false };

/** As the OpenAPI document of an app says, which is read when it is first needed. */
export function traitsIn(name: string): TraitsOf {
  let known: ReadonlyMap<string, RouteTraits> | undefined;
  return ({ method, routeOptions }) => {
    known ??= traitsOfAll(JSON.parse(readFileSync(documentAt(name), 'utf8')) as Document);
    const path = routeOptions.url?.replace(/:([A-Za-z]+)/g, '{$1}');
    return known.get(`${method} ${path}`) ?? UNDESCRIBED;
  };
}

interface Operation {
  requestBody?: unknown;
  security?: Record<string, unknown>[];
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
}

function traitsOfAll({ paths }: Document): Map<string, RouteTraits> {
  const entries = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(
      ([method, one]) => [`${method.toUpperCase()} ${path}`, traitsOf(one)] as const,
    ),
  );
  return new Map(entries);
}

function traitsOf({ requestBody, security = [] }: Operation): RouteTraits {
  return {
    readsBody: requestBody !== undefined,
    isGuarded: security.some((one) => 'bearer' in one || 'apiKey' in one),
  };
}
