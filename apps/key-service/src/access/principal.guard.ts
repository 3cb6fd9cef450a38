import {
  ForbiddenException,
  Inject,
  Injectable,
  ServiceUnavailableException,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ProblemException } from '#server';
import { callerOf } from '#jwt-guard';
import type { Claims } from '#contracts';
import { ACTOR_TOKENS, type ActorTokens } from './actor-tokens.js';
import { setPrincipal } from './by.js';
import { principalOf } from './principal-of.js';

const READS = new Set(['GET', 'HEAD']);

/**
 * Makes the principal of a request from the caller's token and, where a service calls, from `X-Actor-Token`; runs after
 * the JWT guard. Whoever may only read is refused every method but GET.
 */
@Injectable()
export class PrincipalGuard implements CanActivate {
  constructor(@Inject(ACTOR_TOKENS) private readonly actorTokens: ActorTokens) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const caller = callerOf(request);
    if (!caller) throw new Error('This guard is used on a route that lets anyone in');
    const actor = await this.actorOf(caller, request.headers['x-actor-token']);
    const principal = principalOf(caller, actor, { requestId: request.id, ip: request.ip });
    if (!principal.mayChange && !READS.has(request.method))
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
      return await this.actorTokens(caller.client_id).verify(String(header));
    } catch (cause) {
      throw refusedActor(cause);
    }
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
