import { applyDecorators } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ApiHeader } from './api-decorators.js';
import { ProblemException } from './problem-exception.js';

/** A route that may be repeated under an `Idempotency-Key`, for the reader of its description. */
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

/** The `Idempotency-Key` of a request, null where it has none. @throws ProblemException INVALID_HEADER */
export function idempotencyKeyOf({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  const detail = 'Send 1 to 255 visible ASCII characters as Idempotency-Key';
  throw new ProblemException('INVALID_HEADER', detail);
}

/**
 * What a request asks for: the same text where route, body and rights of the sender are the same. It holds whatever the body
 * holds; keep a digest of it, with a key where the body may hold a password.
 */
export function askedIn(
  { method, url, body }: Pick<FastifyRequest, 'method' | 'url' | 'body'>,
  rights: unknown = null,
): string {
  return canonicalJson([method, url, rights, body ?? null]);
}

/** The refusal of a key that was sent with another request. */
export function reusedKey(): ProblemException {
  const detail = 'Send another Idempotency-Key with another request';
  return new ProblemException('IDEMPOTENCY_KEY_REUSED', detail);
}

/** JSON in which the order of properties makes no difference. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
