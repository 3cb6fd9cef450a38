import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { askedIn, idempotencyKeyOf } from '#server';
import { byIn, type By } from '../full-admin.js';

/** A request that an admin may repeat without doing it twice. */
export interface Once {
  /** Id of the admin: keys are each one's own. */
  principal: string;
  key: string;
  /** All that is asked for, passwords too; kept only as a keyed digest. */
  asked: string;
  /** Says in the answer that it was given before. */
  markReplayed: () => void;
}

/** Who changes something, and under which `Idempotency-Key`, if any. */
export interface Sender extends By {
  once: Once | null;
}

/** {@link Sender}, on a `Repeatable` route of full admins. @throws ProblemException INVALID_HEADER */
export const SentByAdmin = createParamDecorator((_: unknown, context: ExecutionContext): Sender => {
  const http = context.switchToHttp();
  const request = http.getRequest<FastifyRequest>();
  const by = byIn(request);
  const key = idempotencyKeyOf(request);
  if (key === null) return { ...by, once: null };
  const reply = http.getResponse<FastifyReply>();
  const markReplayed = () => void reply.header('idempotency-replayed', 'true');
  const once = { principal: by.admin.sub, key, asked: askedIn(request), markReplayed };
  return { ...by, once };
});
