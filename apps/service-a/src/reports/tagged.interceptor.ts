import { createHash } from 'node:crypto';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { tap, type Observable } from 'rxjs';
import type { Report } from '#contracts';

/** Sends a digest of the report as its `ETag`, and of a new one the address. */
export class TaggedInterceptor implements NestInterceptor<Report, Report> {
  intercept(context: ExecutionContext, next: CallHandler<Report>): Observable<Report> {
    const reply = context.switchToHttp().getResponse<FastifyReply>();
    return next.handle().pipe(
      tap((report) => {
        const digest = createHash('sha256').update(JSON.stringify(report)).digest('base64url');
        void reply.header('etag', `"${digest.slice(0, 22)}"`);
        if (reply.statusCode === 201) void reply.header('location', `/v1/reports/${report.id}`);
      }),
    );
  }
}
