import {
  ForbiddenException,
  Inject,
  Injectable,
  ServiceUnavailableException,
  SetMetadata,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Claims } from '#contracts';
import { callerOf, TOKEN_VERIFIER, type TokenVerifier } from '#jwt-guard';
import { ProblemException } from '#server';
import { setPrincipal } from './by.js';
import { principalOf } from './principal-of.js';

const FOR_AUDITORS = 'keyward:for-auditors';

/** Marks a route that whoever may only read may call, as it changes nothing. */
export const ForAuditors = SetMetadata(FOR_AUDITORS, true);

/**
 * Makes the principal of a request from the caller's token and, where a service calls, from `X-Actor-Token`, which must be
 * meant for that service too; runs after the JWT guard. Whoever may only read is refused every route that is not
 * marked {@link ForAuditors}.
 */
@Injectable()
export class PrincipalGuard implements CanActivate {
  constructor(@Inject(TOKEN_VERIFIER) private readonly verifier: TokenVerifier) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = callerOf(request);
    if (!caller) throw new Error('This guard is used on a route that lets anyone in');
    const actor = await this.actorOf(caller, request.headers['x-actor-token']);
    const principal = principalOf(caller, actor, { requestId: request.id, ip: request.ip });
    if (!principal.mayChange && !Reflect.hasMetadata(FOR_AUDITORS, context.getHandler()))
      throw new ForbiddenException('An auditor may only read', { errorCode: 'FORBIDDEN' });
    setPrincipal(request, principal);
    return true;
  }

  private async actorOf(
    caller: Claims,
    header: string | string[] | undefined,
  ): Promise<Claims | null> {
    if (header === undefined) return null;
    if (caller.client_id === undefined)
      throw new ProblemException('INVALID_HEADER', 'X-Actor-Token is for services; leave it out');
    try {
      const actor = await this.verifier.verify(String(header));
      if (actor.aud.includes(caller.client_id)) return actor;
    } catch (cause) {
      throw refusedActor(cause);
    }
    throw refusedActor(new Error('Not meant for the calling service'));
  }
}

function refusedActor(cause: unknown): Error {
  if (cause instanceof Error && 'isUnavailable' in cause) {
    const detail = 'X-Actor-Token cannot be checked at present; try again shortly';
    return new ServiceUnavailableException(detail, { errorCode: 'SERVICE_UNAVAILABLE', cause });
  }
  const detail = 'The token in X-Actor-Token is not good, or not meant for the calling service';
  return new UnauthorizedException(detail, { errorCode: 'INVALID_TOKEN', cause });
}
