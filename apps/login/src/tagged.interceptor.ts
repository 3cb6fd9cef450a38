import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import { tagOf } from '#server';

/** Sends the version of what is answered as `ETag`, and of something new the address. */
export class TaggedInterceptor<T> implements NestInterceptor<T, T> {
  constructor(private readonly of: (answer: T) => { version: number; path: string }) {}

  intercept(context: ExecutionContext, next: CallHandler<T>): Observable<T> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap((answer) => {
        const { version, path } = this.of(answer);
        void reply.header('etag', tagOf(version));
        if (reply.statusCode === 201) void reply.header('location', path);
      }),
    );
  }
}
