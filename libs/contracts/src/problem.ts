import { z } from 'zod';
import { PROBLEMS, type ErrorCode } from './error-codes.js';

/** One fault of a request: where (RFC 6901 pointer into the body or the query), which, and what would be right. */
export const fieldError = z.object({ pointer: z.string(), code: z.string(), detail: z.string() });
export type FieldError = z.infer<typeof fieldError>;

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
