import { z } from 'zod';
import { PROBLEMS, type ErrorCode } from './error-codes.js';

/** What may be wrong with one place of a request. The set is closed, and says no more than a program acts by; `detail` says the rest. */
export const FIELD_CODES = [
  /** Missing, or of another type. */
  'INVALID_TYPE',
  /** Text of another form. */
  'INVALID_FORMAT',
  'TOO_SMALL',
  'TOO_BIG',
  /** Any other value that is not taken. */
  'INVALID_VALUE',
  'UNKNOWN_PROPERTY',
  'KEY_IN_WRONG_PLACE',
  'POLICY_VIOLATION',
] as const;
export type FieldCode = (typeof FIELD_CODES)[number];

/** One fault of a request: where (RFC 6901 pointer into the body or the query), which, and what would be right. */
export const fieldError = z.object({
  pointer: z.string(),
  // read as any text: the other side may know one more
  code: z.string().meta({ enum: FIELD_CODES }),
  detail: z.string(),
});
export interface FieldError extends z.infer<typeof fieldError> {
  code: FieldCode;
}

/** RFC 9457 problem details as every Keyward service answers them, `application/problem+json`. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string(),
    requestId: z.string(),
    errors: z.array(fieldError).optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof problem>;

/** Media type of a problem answer (RFC 9457, section 3). */
export const PROBLEM_TYPE = 'application/problem+json';

/** The members of a problem that its code fixes: `type`, `title`, `status` and `code`. */
export function problemOf(code: ErrorCode): Pick<Problem, 'type' | 'title' | 'status' | 'code'> {
  const { status, title } = PROBLEMS[code];
  return {
    type: `urn:keyward:problem:${code.toLowerCase().replaceAll('_', '-')}`,
    title,
    status,
    code,
  };
}
