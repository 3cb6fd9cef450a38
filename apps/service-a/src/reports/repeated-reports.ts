import { createHash } from 'node:crypto';
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Report } from '#contracts';
import { askedIn, idempotencyKeyOf, reusedKey } from '#server';

/** A request for a report that its sender may repeat without writing it twice. */
export interface Once {
  key: string;
  /** SHA-256 of what is asked for. */
  request: string;
  /** Says in the answer that it was given before. */
  markReplayed: () => void;
}

/** {@link Once}, null where no `Idempotency-Key` was sent. @throws ProblemException INVALID_HEADER */
export const OnceOf = createParamDecorator((_: unknown, context: ExecutionContext): Once | null => {
  const http = context.switchToHttp();
  const request = http.getRequest<FastifyRequest>();
  const key = idempotencyKeyOf(request);
  if (key === null) return null;
  const reply = http.getResponse<FastifyReply>();
  const markReplayed = () => void reply.header('idempotency-replayed', 'true');
  const digest = createHash('sha256').update(askedIn(request)).digest('hex');
  return { key, request: digest, markReplayed };
});

const KEPT_MS = 24 * 60 * 60 * 1_000;
const MAX_KEPT = 10_000;

/**
 * Writes a report once for each Idempotency-Key of a principal. It is kept where the reports are, in memory: for 24 hours, the
 * last 10,000 of them.
 */
export class RepeatedReports {
  /** In the order in which they were written. */
  private readonly kept = new Map<string, { request: string; report: Report; untilMs: number }>();

  constructor(private readonly nowMs: () => number = Date.now) {}

  /**
   * @param principal id of the API key, whose own the names are
   * @throws ProblemException IDEMPOTENCY_KEY_REUSED where the name was used for something else
   */
  run(once: Once | null, principal: string, write: () => Report): Report {
    if (once === null) return write();
    this.forget();
    const name = JSON.stringify([principal, once.key]);
    const before = this.kept.get(name);
    if (before !== undefined) {
      if (before.request !== once.request) throw reusedKey();
      once.markReplayed();
      return before.report;
    }
    const report = write();
    this.kept.set(name, { request: once.request, report, untilMs: this.nowMs() + KEPT_MS });
    return report;
  }

  private forget(): void {
    for (const [name, { untilMs }] of this.kept) {
      if (untilMs > this.nowMs() && this.kept.size < MAX_KEPT) return;
      this.kept.delete(name);
    }
  }
}
