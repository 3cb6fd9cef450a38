import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';

/** Sends, in `Location`, where what was just made is read; by its id or slug, never by a secret. */
export class LocatedInterceptor<T> implements NestInterceptor<T, T> {
  constructor(private readonly pathOf: (made: T) => string) {}

  intercept(context: ExecutionContext, next: CallHandler<T>): Observable<T> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(tap((made) => void reply.header('location', this.pathOf(made))));
  }
}
