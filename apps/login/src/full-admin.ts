import {
  applyDecorators,
  createParamDecorator,
  ForbiddenException,
  UseGuards,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Claims } from '#contracts';
import { callerOf, Roles } from '#jwt-guard';
import type { Origin } from './security-events.js';

/**
 * Only an admin who is not limited to some services: people and service accounts belong to the whole platform, and who
 * could make an admin could make one without limits.
 */
export const FullAdmin = (): MethodDecorator & ClassDecorator =>
  applyDecorators(Roles('admin'), UseGuards(FullAdminGuard));

/** Who changes something, and from where. */
export interface By {
  admin: Claims;
  from: Origin;
}

/** {@link By}, on a route of {@link FullAdmin}. */
export const ByAdmin = createParamDecorator((_: unknown, context: ExecutionContext): By => {
  return byIn(context.switchToHttp().getRequest<FastifyRequest>());
});

/** {@link By} of a request to a route of {@link FullAdmin}. */
export function byIn(request: FastifyRequest): By {
  return { admin: callerOf(request)!, from: { ip: request.ip, requestId: request.id } };
}

class FullAdminGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const caller = callerOf(context.switchToHttp().getRequest<object>());
    if (caller !== undefined && caller.services === undefined) return true;
    throw new ForbiddenException('This needs an admin who is not limited to some services', {
      errorCode: 'FORBIDDEN',
    });
  }
}
