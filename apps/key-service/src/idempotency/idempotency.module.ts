import { Module } from '@nestjs/common';
import { Idempotency } from './idempotency.js';

/** Requests that may be repeated. */
@Module({ providers: [Idempotency], exports: [Idempotency] })
export class IdempotencyModule {}
