import { createHash } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { askedIn, idempotencyKeyOf } from '#server';
import { principalIn } from '../access/by.js';
import type { Principal } from '../access/principal.js';

/** A request that its sender may repeat without doing it twice. */
export interface Once {
  /** Who sent it: keys are each principal's own. */
  principal: string;
  key: string;
  /** SHA-256 of what is asked for, by route, body and the services that the sender may touch. */
  request: Buffer;
  /** Says in the answer that it was given before. */
  markReplayed: () => void;
}

/** Who sent a request, and under which `Idempotency-Key`, if any. */
export interface Sender {
  by: Principal;
  once: Once | null;
}

/** The sender of a request to a `Repeatable` route. @throws ProblemException INVALID_HEADER */
export const SentBy = createParamDecorator((_: unknown, context: ExecutionContext): Sender => {
  const http = context.switchToHttp();
  const request = http.getRequest<FastifyRequest>();
  const by = principalIn(request);
  const key = idempotencyKeyOf(request);
  if (key === null) return { by, once: null };
  const principal = JSON.stringify([by.actor, by.via]);
  const digest = createHash('sha256').update(askedIn(request, by.services)).digest();
  const reply = http.getResponse<FastifyReply>();
  const markReplayed = () => void reply.header('idempotency-replayed', 'true');
  return { by, once: { principal, key, request: digest, markReplayed } };
});
