import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import type { User } from '#contracts';
import { tagOf } from './version-check.js';

/** Sends a person's version as `ETag`, and of a new one the address. */
@Injectable()
export class TaggedInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap(({ id, version }: User) => {
        void reply.header('etag', tagOf(version));
        if (reply.statusCode === 201) void reply.header('location', `/v1/users/${id}`);
      }),
    );
  }
}
