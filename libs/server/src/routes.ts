import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import { pathOf } from './path-of.js';
import { ProblemException } from './problem-exception.js';

/** Methods that a path answers to; none where nothing is there. */
export type MethodsOf = (path: string) => string[];

/** What a path has in the places of a route's parameters, as it was written, by their names. */
export type ParametersOf = (path: string) => Record<string, string>;

/** What is known of all routes. */
export interface Routes {
  methodsOf: MethodsOf;
  parametersOf: ParametersOf;
}

/**
 * Takes note of all routes that are registered from now on. A path that is the address of a route is that alone: where another route
 * has a parameter in its place, as `GET /v1/keys/:id` has for `POST /v1/keys/verify`, it does not take the path for an id, and says
 * 405.
 */
export function collectRoutes(fastify: FastifyInstance): Routes {
  const literal = new Map<string, string[]>();
  const patterns: { methods: string[]; pattern: RegExp }[] = [];
  const leaveToOther: onRequestHookHandler = (request, _reply, done) => {
    const methods = literal.get(pathOf(request));
    if (methods === undefined) done();
    else done(methodNotAllowed(methods));
  };
  fastify.addHook('onRoute', (route) => {
    const methods = [route.method].flat();
    if (!route.url.includes(':')) {
      literal.set(route.url, [...(literal.get(route.url) ?? []), ...methods]);
      return;
    }
    patterns.push({ methods, pattern: patternOf(route.url) });
    route.onRequest = [route.onRequest ?? [], leaveToOther].flat();
  });
  return {
    methodsOf: (path) =>
      literal.get(path) ??
      patterns.filter((one) => one.pattern.test(path)).flatMap((one) => one.methods),
    parametersOf: (path) =>
      patterns.map((one) => one.pattern.exec(path)?.groups).find((one) => one !== undefined) ?? {},
  };
}

/** Says which methods there are instead. */
export function methodNotAllowed(methods: readonly string[]): ProblemException {
  const allow = methods.join(', ');
  return new ProblemException('METHOD_NOT_ALLOWED', `Use ${allow} here`, { headers: { allow } });
}

function patternOf(url: string): RegExp {
  const escaped = url.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replace(/:([A-Za-z]+)/g, '(?<$1>[^/]+)')}$`);
}
