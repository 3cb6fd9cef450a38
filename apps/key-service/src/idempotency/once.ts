import { createHash } from 'node:crypto';
import { applyDecorators, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProblemException } from '#server';
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

/** The sender of a request to a {@link Repeatable} route. @throws ProblemException INVALID_HEADER */
export const SentBy = createParamDecorator((_: unknown, context: ExecutionContext): Sender => {
  const http = context.switchToHttp();
  const request = http.getRequest<FastifyRequest>();
  const by = principalIn(request);
  const key = request.headers['idempotency-key'];
  if (key === undefined) return { by, once: null };
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const detail = 'Send 1 to 255 visible ASCII characters as Idempotency-Key';
    throw new ProblemException('INVALID_HEADER', detail);
  }
  const principal = JSON.stringify([by.actor, by.via]);
  const reply = http.getResponse<FastifyReply>();
  const markReplayed = () => void reply.header('idempotency-replayed', 'true');
  return { by, once: { principal, key, request: digestOf(request, by), markReplayed } };
});

/** A route that may be repeated, for the reader of its description. */
export const Repeatable = (): MethodDecorator =>
  applyDecorators(
    ApiHeader({
      name: 'Idempotency-Key',
      required: false,
      description:
        'Sent again within 24 hours, with the same body, it gets the same answer and nothing is done twice; ' +
        'after 10 minutes the answer comes without its secret',
    }),
  );

/** JSON in which the order of properties makes no difference. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

function digestOf({ method, url, body }: FastifyRequest, { services }: Principal): Buffer {
  const asked = canonicalJson([method, url, services, body ?? null]);
  return createHash('sha256').update(asked).digest();
}
