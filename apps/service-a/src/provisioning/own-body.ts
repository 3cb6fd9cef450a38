import { isErrorCode } from '#contracts';
import { ProblemException } from '#server';

const THEIR_SCOPES = '/grants/0/scopes';

/**
 * A refusal of the key service's create body, told in terms of this service's body, where the scopes of the one grant are
 * the body's own. Anything else stays as it is.
 */
export function toOwnBody(error: unknown): unknown {
  if (!(error instanceof ProblemException) || !isErrorCode(error.errorCode)) return error;
  return new ProblemException(error.errorCode, toOwnText(error.message), {
    ...(error.errors && {
      errors: error.errors.map((one) => ({
        ...one,
        pointer: toOwnPointer(one.pointer),
        detail: toOwnText(one.detail),
      })),
    }),
    headers: error.headers,
    cause: error.cause,
  });
}

function toOwnText(text: string): string {
  return text.replaceAll(THEIR_SCOPES, '/scopes');
}

function toOwnPointer(pointer: string): string {
  const own = toOwnText(pointer);
  return own.startsWith('/grants') ? '' : own;
}
