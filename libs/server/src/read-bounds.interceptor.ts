import {
  Injectable,
  SetMetadata,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import {
  catchError,
  from,
  lastValueFrom,
  Observable,
  throwError,
  timeout,
  TimeoutError,
} from 'rxjs';
import { Places } from './places.js';
import { ProblemException } from './problem-exception.js';

const APART = 'keyward:read-apart';

/** For a controller whose reads need no place among the others, as everybody needs their answers. */
export const ReadApart = (): ClassDecorator => SetMetadata(APART, true);

const READS = 'keyward:reads';

/** For a `POST` of a controller that changes nothing: it is bounded as reads are. */
export const ReadsOnly = (): MethodDecorator => SetMetadata(READS, true);

/** What `GET`s of controllers may take, and what {@link ReadsOnly}. */
export interface ReadBounds {
  /** How long one may take as a whole, its wait for others included, in milliseconds; then it is answered 503. */
  withinMs: number;
  /** How many may be under way at once: fewer than there are connections, so that changes always find one. */
  atOnce: number;
}

/**
 * Answers a read 503 that takes too long as a whole, however many statements it has and whatever each of them, or the wait for a
 * connection, may take by itself. What is under way then ends by its own limits, and keeps its place until it has: however often
 * those who were answered 503 ask again, no more are under way.
 */
@Injectable()
export class ReadBoundsInterceptor implements NestInterceptor {
  private readonly places: Places;

  constructor(private readonly bounds: ReadBounds) {
    this.places = new Places(bounds.atOnce);
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (!isRead(context)) return next.handle();
    const isApart = Reflect.getMetadata(APART, context.getClass()) === true;
    if (!isApart && this.places.isFull) return throwError(() => tooSlow());
    return (isApart ? next.handle() : this.inPlace(next.handle())).pipe(
      timeout(this.bounds.withinMs),
      catchError((error: unknown) => throwError(() => (isLate(error) ? tooSlow(error) : error))),
    );
  }

  private inPlace(read: Observable<unknown>): Observable<unknown> {
    return new Observable((told) =>
      this.places.take(() => {
        const ended = lastValueFrom(read, { defaultValue: undefined });
        from(ended.finally(() => this.places.giveBack())).subscribe(told);
      }),
    );
  }
}

function isRead(context: ExecutionContext): boolean {
  const { method } = context.switchToHttp().getRequest<FastifyRequest>();
  if (method === 'GET' || method === 'HEAD') return true;
  return Reflect.getMetadata(READS, context.getHandler()) === true;
}

function isLate(error: unknown): boolean {
  return error instanceof TimeoutError;
}

function tooSlow(cause?: unknown): ProblemException {
  const detail = 'The answer takes too long at present; try again shortly';
  return new ProblemException('SERVICE_UNAVAILABLE', detail, {
    headers: { 'retry-after': '1' },
    cause,
  });
}
