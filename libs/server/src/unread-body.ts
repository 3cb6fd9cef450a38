import type { OpenAPIObject } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import { ProblemException } from './problem-exception.js';

/**
 * Refuses a body where the document of the app names none: what is sent is checked or refused, never left out in silence.
 * An empty object passes, as many clients send one.
 */
export function refuseUnreadBodies(fastify: FastifyInstance, document: OpenAPIObject): void {
  const bodiless = new Set(
    Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations)
        .filter(([, operation]) => !('requestBody' in operation))
        .map(([method]) => `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`),
    ),
  );
  fastify.addHook('preValidation', (request, _reply, done) => {
    const isUnread =
      request.body !== undefined &&
      bodiless.has(`${request.method} ${request.routeOptions.url}`) &&
      JSON.stringify(request.body) !== '{}';
    if (isUnread) done(new ProblemException('INVALID_REQUEST', 'Leave out the body here'));
    else done();
  });
}
