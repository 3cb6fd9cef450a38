import { ServiceUnavailableException } from '@nestjs/common';

/** What is told where nobody can decide on a key: never a verdict. Try again after a second. */
export function unavailable(cause?: unknown): ServiceUnavailableException {
  const detail = 'Nobody can decide on this key at present; try again shortly';
  return new ServiceUnavailableException(detail, { errorCode: 'VERIFICATION_UNAVAILABLE', cause });
}
