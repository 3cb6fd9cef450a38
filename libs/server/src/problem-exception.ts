import { HttpException } from '@nestjs/common';
import { problemOf, type ErrorCode, type FieldError } from '#contracts';

/**
 * An answer that is a problem, with what Nest's own exceptions cannot carry: field errors and headers.
 * Where neither is needed throw Nest's own exception with an `errorCode`.
 */
export class ProblemException extends HttpException {
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    code: ErrorCode,
    detail: string,
    extra: { errors?: FieldError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(detail, problemOf(code).status, { errorCode: code, cause: extra.cause });
    this.errors = extra.errors;
    this.headers = extra.headers ?? {};
  }
}

/** A field of the body that is well-formed but not acceptable; `pointer` as in RFC 6901. */
export function invalidField(
  pointer: string,
  detail: string,
  code: ErrorCode = 'INVALID_REQUEST',
): ProblemException {
  return new ProblemException(code, `${pointer}: ${detail}`, {
    errors: [{ pointer, code, detail }],
  });
}
