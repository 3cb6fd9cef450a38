import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Claims, LeaseWish, Verdict } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { passedOn } from '#server';
import type { Leases } from '../lease/leases.js';
import { serviceCaller } from '../service-caller.js';
import { Gate } from './gate.js';
import { verifyBatchOf, verifyBodyOf } from './plain-body.js';
import { questionOf, VERIFY_BATCH_PATH, VERIFY_PATH } from './question-of.js';
import type { SwiftVerifier } from './swift-verifier.js';
import { unavailable } from './unavailable.js';
import type { Question, Verifier } from './verifier.js';
import { openVerifyDoors } from './verify.doors.js';

/** What the hot routes work with. */
export interface VerifyParts {
  verifier: Verifier;
  /** Null where the routes are to see every request. */
  swift: SwiftVerifier | null;
  leases: Pick<Leases, 'verify'>;
  tokens: TokenVerifier;
}

/** Batches under way at once: more of them would make each other wait for Redis longer than a command may take. */
const MAX_BATCHES = 8;
const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * `POST /v1/keys/verify` and `POST /v1/keys/verify-batch`: plain Fastify routes, because each part of Nest's pipeline costs
 * more here than the decision itself. For services with `keys:verify`, about keys that are granted for themselves. The
 * questions of a batch go to Redis together, and those it cannot answer to PostgreSQL in one statement. Most requests
 * never get here: their doors answer them.
 */
export function registerVerify(
  fastify: FastifyInstance,
  { verifier, swift, leases, tokens }: VerifyParts,
): void {
  const verify = (question: Question, wish: LeaseWish | undefined): Promise<Verdict> =>
    wish === undefined ? verifier.verify(question) : leases.verify(question, wish);
  fastify.post(VERIFY_PATH, { preParsing: passedOn }, (request, reply) =>
    asCaller(serviceCaller(request, tokens), (caller) => {
      const body = verifyBodyOf(request.body);
      return answered(verify(questionOf(body, caller, request), body.lease), reply);
    }),
  );
  const batches = new Gate(MAX_BATCHES);
  fastify.post(VERIFY_BATCH_PATH, { preParsing: passedOn }, (request, reply) =>
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
  if (swift !== null) openVerifyDoors(fastify, { swift, tokens, batches });
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
