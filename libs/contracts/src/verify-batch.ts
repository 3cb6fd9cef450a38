import { z } from 'zod';
import { verdict, verifyBody } from './verdict.js';

/**
 * `POST /v1/keys/verify-batch`: 1 to 100 questions. Where nobody can decide on one of them all are answered with 503; with
 * `partial` only where nobody can decide on any.
 */
export const verifyBatchBody = z
  .strictObject({
    requests: z.array(verifyBody).min(1).max(100),
    partial: z.boolean().optional(),
  })
  .meta({ id: 'VerifyBatchBody' });
export type VerifyBatchBody = z.infer<typeof verifyBatchBody>;

/**
 * Its answer: the verdicts in the order of the questions, each as if it had been asked alone. With `partial`, null stands
 * where nobody can decide.
 */
export const verifyBatchAnswer = z
  .object({ results: z.array(verdict.nullable()) })
  .meta({ id: 'VerifyBatchAnswer' });
export type VerifyBatchAnswer = z.infer<typeof verifyBatchAnswer>;
