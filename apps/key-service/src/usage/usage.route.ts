import type { FastifyInstance } from 'fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { takenUsage, usageBatch } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { describeRoute, parserOf } from '#server';
import { serviceCaller } from '../service-caller.js';
import type { UsageIntake } from './usage-intake.js';

/** Path of the route that guards report to; its good answers are not logged one by one. */
export const USAGE_PATH = '/v1/usage';
/** A thousand entries, however they are written. */
const BODY_BYTES = 256 * 1024;

/** `POST /v1/usage`: for services with `keys:verify`, about keys that are granted for themselves. */
export function registerUsage(
  fastify: FastifyInstance,
  intake: UsageIntake,
  tokens: TokenVerifier,
): void {
  const batchOf = parserOf(usageBatch);
  fastify.post(USAGE_PATH, { bodyLimit: BODY_BYTES }, async (request, reply) => {
    const { sub } = await serviceCaller(request, tokens);
    const taken = await intake.take(sub, batchOf(request.body));
    return reply.type('application/json').send(JSON.stringify(taken));
  });
}

/** Adds the route to the app's OpenAPI document. */
export function describeUsage(document: OpenAPIObject): void {
  describeRoute(document, {
    method: 'post',
    path: USAGE_PATH,
    tag: 'Usage',
    summary: 'Report what a guard decided by itself; a batch counts once, however often it is sent',
    body: usageBatch,
    answer: { status: 200, description: 'How many entries were taken', schema: takenUsage },
  });
}
