import type { OpenAPIObject } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import type { Pool } from 'pg';
import { importItem, migrationState, parityBatch, takenParity } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { describeRoute, describeSchema, parserOf } from '#server';
import { serviceCaller } from '../service-caller.js';
import type { ImportRules } from './import-rules.js';
import { takeParity } from './parity.js';
import { presentMode } from './present-mode.js';

/** Paths of the routes for a service that changes sides; their good answers are not logged one by one. */
export const MIGRATION_PATH = '/v1/migration';
export const PARITY_PATH = '/v1/migration/parity';
const BODY_BYTES = 256 * 1_024;

/** `GET /v1/migration` and `POST /v1/migration/parity`: for services with `keys:verify`, about themselves. */
export function registerMigration(
  fastify: FastifyInstance,
  { rules, pool, tokens }: { rules: ImportRules; pool: Pool; tokens: TokenVerifier },
): void {
  fastify.get(MIGRATION_PATH, async (request, reply) => {
    const { sub: service } = await serviceCaller(request, tokens);
    return reply
      .header('cache-control', 'no-store')
      .type('application/json')
      .send(
        JSON.stringify({ service, mode: presentMode(rules.of(service).map((one) => one.mode)) }),
      );
  });
  const batchOf = parserOf(parityBatch);
  fastify.post(PARITY_PATH, { bodyLimit: BODY_BYTES }, async (request, reply) => {
    const { sub } = await serviceCaller(request, tokens);
    const accepted = await takeParity(pool, sub, batchOf(request.body));
    return reply.type('application/json').send(JSON.stringify({ accepted }));
  });
}

/** Adds the routes to the app's OpenAPI document, and what an item of an import is. */
export function describeMigration(document: OpenAPIObject): void {
  describeRoute(document, {
    method: 'get',
    path: MIGRATION_PATH,
    tag: 'Imports',
    summary: 'Which side counts for the calling service',
    answer: { status: 200, description: 'The mode', schema: migrationState },
  });
  describeRoute(document, {
    method: 'post',
    path: PARITY_PATH,
    tag: 'Imports',
    summary: 'Report what both sides decided; a batch counts once, however often it is sent',
    body: parityBatch,
    answer: { status: 200, description: 'How many entries were counted', schema: takenParity },
  });
  describeItems(document);
}

/** Each item is looked at by itself, so that the schema of the body takes any. */
function describeItems(document: OpenAPIObject): void {
  const item = describeSchema(document, importItem, 'input');
  const body = document.components?.schemas?.['CreateImportBody'] as {
    properties: { items: { items: object } };
  };
  body.properties.items.items = item;
}
