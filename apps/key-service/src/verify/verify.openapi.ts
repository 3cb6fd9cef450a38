import type { OpenAPIObject } from '@nestjs/swagger';
import { verdict, verifyBatchAnswer, verifyBatchBody, verifyBody } from '#contracts';
import { describeRoute } from '#server';
import { VERIFY_BATCH_PATH, VERIFY_PATH } from './question-of.js';

/** Adds the routes of the hot path, which are not Nest controllers, to the app's OpenAPI document. */
export function describeVerify(document: OpenAPIObject): void {
  describeRoute(document, {
    method: 'post',
    path: VERIFY_PATH,
    tag: 'Verification',
    summary: 'Verify an API key; spends its rate limits and quota where it is valid',
    body: verifyBody,
    answer: { status: 200, description: 'The verdict: valid, or why not', schema: verdict },
  });
  describeRoute(document, {
    method: 'post',
    path: VERIFY_BATCH_PATH,
    tag: 'Verification',
    summary: 'Verify up to 100 API keys, each as if it were asked about alone',
    body: verifyBatchBody,
    answer: {
      status: 200,
      description:
        'The verdicts, in the order of the requests; null where nobody can decide and the body said `partial`',
      schema: verifyBatchAnswer,
    },
  });
}
