import { HttpException } from '@nestjs/common';
import { problemOf, type ErrorCode, type FieldCode, type FieldError } from '#contracts';

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

/** A place of the body or the query that is not acceptable; `pointer` as in RFC 6901, empty for the whole body. */
export function invalidField(
  pointer: string,
  detail: string,
  code: FieldCode = 'INVALID_VALUE',
): ProblemException {
  const ofWhole = code === 'KEY_IN_WRONG_PLACE' ? code : 'INVALID_REQUEST';
  return new ProblemException(ofWhole, `${pointer || 'body'}: ${detail}`, {
    errors: [{ pointer, code, detail }],
  });
}
