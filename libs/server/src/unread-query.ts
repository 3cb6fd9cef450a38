import type { FastifyInstance, FastifyRequest, onRequestHookHandler } from 'fastify';
import { UNKNOWN } from '#contracts';
import { pointerOf } from './pointer.js';
import { ProblemException } from './problem-exception.js';

/**
 * The refusal of a query where none is read, as schemas of queries say it; null where there is none. Only of what is ours: to others,
 * such as a token endpoint (RFC 6749, section 3.2), parameters that they do not know are none.
 */
export function unreadQuery({ query, routeOptions }: FastifyRequest): ProblemException | null {
  const [parameter] = Object.keys(query as object);
  if (parameter === undefined || routeOptions.url?.startsWith('/v1/') !== true) return null;
  const pointer = pointerOf([parameter]);
  return new ProblemException('INVALID_REQUEST', `${pointer}: ${UNKNOWN}`, {
    errors: [{ pointer, code: 'UNKNOWN_PROPERTY', detail: UNKNOWN }],
  });
}

/** Lets `register` add routes outside Nest, none of which reads a query: one is refused there. */
export function withoutQueries(fastify: FastifyInstance, register: () => void): void {
  let isRegistering = true;
  fastify.addHook('onRoute', (route) => {
    if (isRegistering) route.onRequest = [route.onRequest ?? [], refuse].flat();
  });
  register();
  isRegistering = false;
}

const refuse: onRequestHookHandler = (request, _reply, done) => {
  const fault = unreadQuery(request);
  if (fault === null) done();
  else done(fault);
};
