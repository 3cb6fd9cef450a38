import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import type { FastifyRequest } from 'fastify';
import { throwError, type Observable } from 'rxjs';
import { ProblemException } from './problem-exception.js';
import { unreadBody } from './unread-body.js';
import { unreadQuery } from './unread-query.js';

/**
 * Refuses a body that could not be read, now that the guards know who asks, and a body, or a query, where a controller reads none: what is
 * sent is checked or refused, never left out in silence. An empty object passes, as many clients send one.
 */
@Injectable()
export class UnreadPartsInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const fault = unreadQuery(request);
    if (fault !== null && !reads(context, RouteParamtypes.QUERY)) return throwError(() => fault);
    const { body } = request;
    if (body instanceof ProblemException) return throwError(() => body);
    const isSaying = body !== undefined && JSON.stringify(body) !== '{}';
    if (!isSaying || reads(context, RouteParamtypes.BODY)) return next.handle();
    return throwError(unreadBody);
  }
}

function reads(context: ExecutionContext, part: RouteParamtypes): boolean {
  const handler = context.getHandler().name;
  const parameters = Reflect.getMetadata(ROUTE_ARGS_METADATA, context.getClass(), handler) as
    Record<string, unknown> | undefined;
  // named by what they take and their place, as in `3:0`
  return Object.keys(parameters ?? {}).some((one) => one.startsWith(`${part}:`));
}
