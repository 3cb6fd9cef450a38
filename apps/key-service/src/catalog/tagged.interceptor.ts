import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import { tagOf } from '#server';

type Answer = { version: number } | { key: { version: number } };

/** Sends the version of the resource in the answer as its `ETag`. */
@Injectable()
export class TaggedInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap((body: Answer) => {
        void reply.header('etag', tagOf('key' in body ? body.key.version : body.version));
      }),
    );
  }
}
