import { createHash } from 'node:crypto';
import {
  applyDecorators,
  Injectable,
  SetMetadata,
  UseGuards,
  type ExecutionContext,
} from '@nestjs/common';
import {
  normalizeIp,
  ThrottlerGuard,
  type ThrottlerLimitDetail,
  type ThrottlerModuleOptions,
  type ThrottlerStorage,
} from '@nestjs/throttler';
import type { FastifyRequest } from 'fastify';
import { callerOf } from '#jwt-guard';
import { ProblemException } from '#server';

/** What is counted: logins of an address, logins of an address for one account, and uses of tokens by an address. */
export type Limit = 'login-by-address' | 'login-by-account' | 'tokens-by-address';

const LIMITS = 'keyward:limits';
const WINDOW_MS = 60_000;
const PREFIX = 'login:limit:';

/** Counts the calls of a route by these limits, before anything costly is done; one too many is 429. */
export const Limited = (...limits: [Limit, ...Limit[]]): MethodDecorator =>
  applyDecorators(SetMetadata(LIMITS, limits), UseGuards(LimitsGuard));

/**
 * The limits a minute: `perMinute` logins of one address for one account, 5 times as many of one address, and 20 times as
 * many uses of tokens by one address. An IPv6 address counts as its /64.
 */
export function limitsOf(perMinute: number, storage: ThrottlerStorage): ThrottlerModuleOptions {
  const limit = (
    name: Limit,
    most: number,
    getTracker: (request: FastifyRequest) => string = addressOf,
  ) => ({
    name,
    limit: most,
    ttl: WINDOW_MS,
    blockDuration: 0,
    getTracker: getTracker as never,
    generateKey: (_: unknown, tracker: string) => `${PREFIX}${name}:${digestOf(tracker)}`,
    skipIf: (context: ExecutionContext) => !limitsOfRoute(context).includes(name),
  });
  return {
    storage,
    setHeaders: false,
    throttlers: [
      limit('login-by-address', 5 * perMinute),
      limit('login-by-account', perMinute, accountOf),
      limit('tokens-by-address', 20 * perMinute),
    ],
  };
}

/** Refuses what is over a limit, with the limit (IETF httpapi draft 10) and the time to wait. */
@Injectable()
export class LimitsGuard extends ThrottlerGuard {
  protected override throwThrottlingException(
    _context: ExecutionContext,
    { key, limit, ttl, timeToBlockExpire }: ThrottlerLimitDetail,
  ): Promise<void> {
    const seconds = Math.max(1, timeToBlockExpire);
    throw new ProblemException('TOO_MANY_REQUESTS', `Try again in ${seconds} s`, {
      headers: {
        'retry-after': String(seconds),
        'ratelimit-policy': `"${nameIn(key)}";q=${limit};w=${ttl / 1_000}`,
        ratelimit: `"${nameIn(key)}";r=0;t=${seconds}`,
      },
    });
  }
}

function limitsOfRoute(context: ExecutionContext): readonly string[] {
  return (Reflect.getMetadata(LIMITS, context.getHandler()) as string[] | undefined) ?? [];
}

/** Name of the limit that a counter is for. */
function nameIn(key: string): string {
  return key.slice(PREFIX.length, key.lastIndexOf(':'));
}

function addressOf(request: FastifyRequest): string {
  return normalizeIp(request.ip);
}

/**
 * The caller's account, or the one that the body names. Guards come before validation: whatever the body is, it counts as
 * some account.
 */
function accountOf(request: FastifyRequest): string {
  const username = callerOf(request)?.username ?? namedBy(request.body);
  const name = typeof username === 'string' ? username.slice(0, 256) : '';
  return `${addressOf(request)} ${name.normalize('NFKC').toLowerCase()}`;
}

function namedBy(body: unknown): unknown {
  return (body as { username?: unknown } | null | undefined)?.username;
}

function digestOf(tracker: string): string {
  return createHash('sha256').update(tracker).digest('base64url');
}
