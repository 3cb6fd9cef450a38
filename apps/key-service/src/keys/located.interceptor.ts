import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import type { IssuedKey } from '#contracts';

/** Sends where a new key is read: by its id, never by its secret. */
@Injectable()
export class LocatedInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap(({ key }: IssuedKey) => {
        void reply.header('location', `/v1/keys/${key.id}`);
      }),
    );
  }
}
