import { ProblemException } from './problem-exception.js';

/** The refusal of a body that nobody reads. */
export function unreadBody(): ProblemException {
  const detail = 'Leave out the body here';
  const errors = [{ pointer: '', code: 'INVALID_REQUEST', detail }];
  return new ProblemException('INVALID_REQUEST', detail, { errors });
}
