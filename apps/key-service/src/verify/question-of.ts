import type { IncomingHttpHeaders } from 'node:http';
import type { Claims, VerifyBody } from '#contracts';
import { ProblemException } from '#server';
import type { Question } from './verifier.js';

/** Paths of the hot routes; their good answers are not logged one by one. */
export const VERIFY_PATH = '/v1/keys/verify';
export const VERIFY_BATCH_PATH = '/v1/keys/verify-batch';

/** What a service asks. @throws ProblemException FORBIDDEN where it asks for another */
export function questionOf(
  body: VerifyBody,
  caller: Claims,
  { headers }: { headers: IncomingHttpHeaders },
): Question {
  const { key, service, scopes, environment, clientIp, cost = 1, dryRun = false } = body;
  if (service !== undefined && service !== caller.sub) {
    throw new ProblemException(
      'FORBIDDEN',
      'A service may ask about keys for itself only; leave out service',
    );
  }
  const isFresh = /\bno-cache\b/i.test(headers['cache-control'] ?? '');
  return {
    text: key,
    service: caller.sub,
    scopes,
    environment,
    clientIp,
    cost,
    isDry: dryRun,
    isFresh,
  };
}
