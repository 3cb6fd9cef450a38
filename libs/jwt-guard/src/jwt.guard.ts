import { Inject, Injectable, type ExecutionContext } from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import { scopesOf, type Claims } from '#contracts';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { accessOf, callerOf, type Access } from './access.js';
import { hasSeveralTokens } from './bearer-token.js';
import { IS_LIVE, type IsLive } from './is-live.js';
import { AccessRefused } from './access-refused.js';

/**
 * Lets a request in as its route says, and nobody where the route says nothing. 400 INVALID_HEADER with two tokens, 401 UNAUTHENTICATED without a token, 401
 * INVALID_TOKEN with one that is refused, 403 FORBIDDEN without the right, 503 where the issuer's keys cannot be had.
 */
@Injectable()
export class JwtGuard extends AuthGuard() {
  constructor(
    @Inject(AccessTokenStrategy) strategy: AccessTokenStrategy,
    @Inject(IS_LIVE) private readonly isLive: IsLive,
  ) {
    super({ defaultStrategy: strategy.name, property: 'caller', session: false });
  }

  override canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = accessOf(context.getHandler(), context.getClass());
    if (!access) {
      const cause = `${context.getClass().name}.${context.getHandler().name} names no access`;
      throw new AccessRefused('INTERNAL_ERROR', 'This is a fault of ours', cause);
    }
    return access.public === true || this.admit(context, access);
  }

  override handleRequest<T>(
    error: Error | null,
    caller: T | false,
    info: Error | undefined,
    context: ExecutionContext,
  ): T {
    if (error) throw translated(context, error);
    if (caller) return caller;
    if (info === undefined) {
      say(context, 'www-authenticate', 'Bearer');
      throw new AccessRefused('UNAUTHENTICATED', 'Send an access token as Authorization: Bearer');
    }
    throw refused(context, info);
  }

  private async admit(context: ExecutionContext, access: Access): Promise<boolean> {
    const request = context.switchToHttp().getRequest<object>();
    if (hasSeveralTokens(request))
      throw new AccessRefused('INVALID_HEADER', 'Send the header Authorization once');
    await super.canActivate(context);
    const caller = callerOf(request)!;
    if (!(await this.isLive(caller))) throw refused(context, new Error('No longer live'));
    if (isAllowed(caller, access)) return true;
    throw new AccessRefused('FORBIDDEN', `This needs ${namesOf(access)}`);
  }
}

function translated(context: ExecutionContext, error: Error): Error {
  if (!('isUnavailable' in error)) return error;
  say(context, 'retry-after', '1');
  return new AccessRefused(
    'SERVICE_UNAVAILABLE',
    'The keys that tokens are checked with cannot be had at present; try again shortly',
    error,
  );
}

function refused(context: ExecutionContext, cause: Error): AccessRefused {
  say(context, 'www-authenticate', 'Bearer error="invalid_token"');
  const detail = 'Log in again: the access token is not good, or no longer';
  return new AccessRefused('INVALID_TOKEN', detail, cause);
}

/** Fastify and Express set a header with the same call. */
interface HttpResponse {
  header(name: string, value: string): unknown;
}

function say(context: ExecutionContext, name: string, value: string): void {
  context.switchToHttp().getResponse<HttpResponse>().header(name, value);
}

function isAllowed(caller: Claims, access: Access): boolean {
  if (access.authenticated) return true;
  const scopes: readonly string[] = caller.client_id === undefined ? [] : scopesOf(caller);
  return (
    (access.roles?.some((role) => caller.roles.includes(role)) ?? false) ||
    (access.scopes?.some((scope) => scopes.includes(scope)) ?? false)
  );
}

function namesOf({ roles = [], scopes = [] }: Access): string {
  return [
    ...roles.map((one) => `the role ${one}`),
    ...scopes.map((one) => `the scope ${one}`),
  ].join(' or ');
}
