import { z } from 'zod';
import { verdict, verifyBody } from './verdict.js';

/** `POST /v1/keys/verify-batch`: 1 to 100 questions. */
export const verifyBatchBody = z
  .strictObject({ requests: z.array(verifyBody).min(1).max(100) })
  .meta({ id: 'VerifyBatchBody' });
export type VerifyBatchBody = z.infer<typeof verifyBatchBody>;

/** Its answer: the verdicts in the order of the questions, each as if it had been asked alone. */
export const verifyBatchAnswer = z
  .object({ results: z.array(verdict) })
  .meta({ id: 'VerifyBatchAnswer' });
export type VerifyBatchAnswer = z.infer<typeof verifyBatchAnswer>;
