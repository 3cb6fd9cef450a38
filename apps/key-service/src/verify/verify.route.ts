import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Claims, LeaseWish, Verdict, VerifyBody } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { ProblemException } from '#server';
import type { Leases } from '../lease/leases.js';
import { serviceCaller } from '../service-caller.js';
import { Gate } from './gate.js';
import { verifyBatchOf, verifyBodyOf } from './plain-body.js';
import { unavailable } from './unavailable.js';
import type { Question, Verifier } from './verifier.js';

/** Paths of the hot routes; their good answers are not logged one by one. */
export const VERIFY_PATH = '/v1/keys/verify';
export const VERIFY_BATCH_PATH = '/v1/keys/verify-batch';

/** What the hot routes work with. */
export interface VerifyParts {
  verifier: Verifier;
  leases: Pick<Leases, 'verify'>;
  tokens: TokenVerifier;
}

/** Batches under way at once: more of them would make each other wait for Redis longer than a command may take. */
const MAX_BATCHES = 8;
const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * `POST /v1/keys/verify` and `POST /v1/keys/verify-batch`: plain Fastify routes, because each part of Nest's pipeline costs
 * more here than the decision itself. For services with `keys:verify`, about keys that are granted for themselves. The
 * questions of a batch go to Redis in one command, and those it cannot answer to PostgreSQL in one statement.
 */
export function registerVerify(
  fastify: FastifyInstance,
  { verifier, leases, tokens }: VerifyParts,
): void {
  const verify = (question: Question, wish: LeaseWish | undefined): Promise<Verdict> =>
    wish === undefined ? verifier.verify(question) : leases.verify(question, wish);
  fastify.post(VERIFY_PATH, (request, reply) =>
    asCaller(serviceCaller(request, tokens), (caller) => {
      const body = verifyBodyOf(request.body);
      return answered(verify(questionOf(body, caller, request), body.lease), reply);
    }),
  );
  const batches = new Gate(MAX_BATCHES);
  fastify.post(VERIFY_BATCH_PATH, (request, reply) =>
    asCaller(serviceCaller(request, tokens), (caller) => {
      const { requests, partial = false } = verifyBatchOf(request.body);
      const questions = requests.map((one) => questionOf(one, caller, request));
      const deciding = batches.pass(async () => {
        const verdicts = questions.map((one, i) => verify(one, requests[i]!.lease));
        return { results: await (partial ? decidedOf(verdicts) : Promise.all(verdicts)) };
      });
      return answered(deciding, reply);
    }),
  );
}

/** Goes on at once where the caller is known. */
function asCaller<T>(
  caller: Claims | Promise<Claims>,
  go: (caller: Claims) => Promise<T>,
): Promise<T> {
  return caller instanceof Promise ? caller.then(go) : go(caller);
}

/** Verdicts, and null where nobody could decide. @throws where nobody could on any of them */
async function decidedOf(verdicts: Promise<Verdict>[]): Promise<(Verdict | null)[]> {
  const settled = await Promise.allSettled(verdicts);
  const first = settled[0]!;
  if (first.status === 'rejected' && settled.every((one) => one.status === 'rejected'))
    throw first.reason;
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : null));
}

function questionOf(body: VerifyBody, caller: Claims, { headers }: FastifyRequest): Question {
  const { key, service, scopes, environment, clientIp, cost = 1, dryRun = false } = body;
  if (service !== undefined && service !== caller.sub) {
    throw new ProblemException(
      'FORBIDDEN',
      'A service may ask about keys for itself only; leave out service',
    );
  }
  const isFresh = headers['cache-control']?.includes('no-cache') === true;
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

/** Answers with what was decided. Rejects with ServiceUnavailableException where nothing could be. */
function answered(deciding: Promise<object>, reply: FastifyReply): Promise<string> {
  return deciding.then(
    (decided) => {
      void reply.header('content-type', JSON_TYPE);
      return JSON.stringify(decided);
    },
    (error: unknown) => {
      throw unavailable(error);
    },
  );
}
