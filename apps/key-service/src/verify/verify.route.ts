import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { verifyBody, type Claims, type Verdict, type VerifyBody } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { ProblemException, sendProblem, validatorOf } from '#server';
import { serviceCaller } from '../service-caller.js';
import type { Question, Verifier } from './verifier.js';

/** Path of the hot route; its good answers are not logged one by one. */
export const VERIFY_PATH = '/v1/keys/verify';

/**
 * `POST /v1/keys/verify`: a plain Fastify route, because each part of Nest's pipeline costs more here than the decision
 * itself. For services with `keys:verify`, about keys that are granted for themselves.
 */
export function registerVerify(
  fastify: FastifyInstance,
  verifier: Verifier,
  tokens: TokenVerifier,
): void {
  fastify.post<{ Body: VerifyBody }>(
    VERIFY_PATH,
    { schema: { body: verifyBody }, validatorCompiler: validatorOf },
    async (request, reply) => {
      const caller = await serviceCaller(request, tokens);
      const question = questionOf(request, caller);
      const verdict = await decided(verifier.verify(question), request, reply);
      if (verdict === null) return reply;
      return reply.type('application/json').send(JSON.stringify(verdict));
    },
  );
}

function questionOf(request: FastifyRequest<{ Body: VerifyBody }>, caller: Claims): Question {
  const { key, service, scopes, environment, clientIp, cost = 1, dryRun = false } = request.body;
  if (service !== undefined && service !== caller.sub) {
    throw new ProblemException(
      'FORBIDDEN',
      'A service may ask about keys for itself only; leave out service',
    );
  }
  const isFresh = request.headers['cache-control']?.includes('no-cache') === true;
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

/** The verdict, or null after 503 was answered: whatever keeps us from deciding is never told as a verdict. */
async function decided(
  deciding: Promise<Verdict>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Verdict | null> {
  try {
    return await deciding;
  } catch (error) {
    const told = {
      code: 'VERIFICATION_UNAVAILABLE' as const,
      detail: 'Nobody can decide on this key at present; try again shortly',
      headers: { 'retry-after': '1' },
    };
    sendProblem(request, reply, told, error);
    return null;
  }
}
