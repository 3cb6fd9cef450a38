import { HttpException } from '@nestjs/common';
import { problemOf, type ErrorCode } from '#contracts';

/** A "no" of the guard. Its body is an RFC 9457 problem, so an app without a filter of its own answers with that too. */
export class KeyRefused extends HttpException {
  constructor(code: ErrorCode, detail: string, cause?: unknown) {
    super({ ...problemOf(code), detail }, problemOf(code).status, { cause, errorCode: code });
    this.message = detail;
  }
}
