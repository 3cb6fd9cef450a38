import { ProblemException } from './problem-exception.js';

/** The refusal of a body that nobody reads. */
export function unreadBody(): ProblemException {
  const detail = 'Leave out the body here';
  return new ProblemException('INVALID_REQUEST', detail, {
    errors: [{ pointer: '', code: 'INVALID_VALUE', detail }],
  });
}
