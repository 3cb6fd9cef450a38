import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { map, type Observable } from 'rxjs';
import type { Propagation } from '#contracts';

/** The answer to a change, and how far the change had reached by then. */
export type Propagated<T> = T & { propagation: Propagation };

/**
 * Tells how far a change has reached in a header where the answer has no member for it:
 * `Keyward-Propagation: confirmed`, or `unconfirmed; bound=<seconds>`.
 */
@Injectable()
export class PropagationInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      map(({ propagation, ...answer }: Propagated<object>) => {
        void reply.header('keyward-propagation', textOf(propagation));
        return answer;
      }),
    );
  }
}

function textOf({ confirmed, boundSeconds }: Propagation): string {
  return confirmed ? 'confirmed' : `unconfirmed; bound=${boundSeconds}`;
}
