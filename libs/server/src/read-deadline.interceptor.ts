import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { catchError, throwError, timeout, TimeoutError, type Observable } from 'rxjs';
import { ProblemException } from './problem-exception.js';

/**
 * Answers a read 503 that takes too long as a whole, however many statements it has and whatever each of them, or the wait for a
 * connection, may take by itself. What is under way ends by its own limits.
 */
@Injectable()
export class ReadDeadlineInterceptor implements NestInterceptor {
  constructor(private readonly withinMs: number) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { method } = context.switchToHttp().getRequest<FastifyRequest>();
    if (method !== 'GET' && method !== 'HEAD') return next.handle();
    return next.handle().pipe(
      timeout(this.withinMs),
      catchError((error: unknown) => throwError(() => (isLate(error) ? tooSlow(error) : error))),
    );
  }
}

function isLate(error: unknown): boolean {
  return error instanceof TimeoutError;
}

function tooSlow(cause: unknown): ProblemException {
  const detail = 'The answer takes too long at present; try again shortly';
  return new ProblemException('SERVICE_UNAVAILABLE', detail, {
    headers: { 'retry-after': '1' },
    cause,
  });
}
