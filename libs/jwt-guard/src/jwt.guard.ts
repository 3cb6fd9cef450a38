import {
  ForbiddenException,
  Inject,
  Injectable,
  InternalServerErrorException,
  ServiceUnavailableException,
  UnauthorizedException,
  type ExecutionContext,
} from '@nestjs/common';
import { AuthGuard } from '@nestjs/passport';
import type { FastifyReply } from 'fastify';
import { scopesOf, type Claims } from '#contracts';
import { AccessTokenStrategy } from './access-token.strategy.js';
import { accessOf, callerOf, type Access } from './access.js';

/** Asked about every caller after the token was found good; false refuses the token. */
export type IsLive = (caller: Claims) => Promise<boolean> | boolean;
export const IS_LIVE = Symbol('IS_LIVE');

/**
 * Lets a request in as its route says, and nobody where the route says nothing. 401 UNAUTHENTICATED without a token, 401
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
      throw new InternalServerErrorException('This is a fault of ours', { cause });
    }
    return access.public === true || this.admit(context, access);
  }

  override handleRequest<T>(
    error: Error | null,
    caller: T | false,
    info: Error | undefined,
    context: ExecutionContext,
  ): T {
    if (error) throw translated(error);
    if (caller) return caller;
    if (info === undefined) {
      challenge(context, 'Bearer');
      throw new UnauthorizedException('Send an access token as Authorization: Bearer', {
        errorCode: 'UNAUTHENTICATED',
      });
    }
    throw refused(context, info);
  }

  private async admit(context: ExecutionContext, access: Access): Promise<boolean> {
    await super.canActivate(context);
    const caller = callerOf(context.switchToHttp().getRequest<object>())!;
    if (!(await this.isLive(caller))) throw refused(context, new Error('No longer live'));
    if (isAllowed(caller, access)) return true;
    throw new ForbiddenException(`This needs ${namesOf(access)}`, { errorCode: 'FORBIDDEN' });
  }
}

function translated(error: Error): Error {
  if (!('isUnavailable' in error)) return error;
  return new ServiceUnavailableException(
    'The keys that tokens are checked with cannot be had at present; try again shortly',
    { errorCode: 'SERVICE_UNAVAILABLE', cause: error },
  );
}

function refused(context: ExecutionContext, cause: Error): UnauthorizedException {
  challenge(context, 'Bearer error="invalid_token"');
  return new UnauthorizedException('Log in again: the access token is not good, or no longer', {
    errorCode: 'INVALID_TOKEN',
    cause,
  });
}

function challenge(context: ExecutionContext, text: string): void {
  void context.switchToHttp().getResponse<FastifyReply>().header('www-authenticate', text);
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
