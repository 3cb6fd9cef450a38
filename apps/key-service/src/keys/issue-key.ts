import { ConflictException } from '@nestjs/common';
import type { CreateKeyBody, IssuedKey } from '#contracts';
import { makeKeyText, type KeyText } from '#key-core';
import { invalidField } from '#server';
import { ConsumerEntity } from '../catalog/consumer.entity.js';
import type { ServiceEntity } from '../catalog/service.entity.js';
import type { Mutation } from '../changes/mutations.js';
import { servicesOf } from './find-key.js';
import { repeatedParts } from './repeated-parts.js';
import { keyChange, quotaSetBy, settingsOf, touchedOf } from './key-change.js';
import { KeyEntity, type KeyRow } from './key.entity.js';
import { KeyGrantEntity } from './key-grant.entity.js';
import {
  defaultRateLimits,
  lifetimeOf,
  lockServices,
  msOf,
  refuseEmptyLife,
  refuseSettings,
} from './key-policy.js';
import { addSecret } from './secrets.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/** How many keys that are not revoked one consumer may hold. */
export const MAX_KEYS_PER_CONSUMER = 20_000;

/**
 * Issues a key.
 *
 * @returns the key and its text, which is nowhere else from here on
 * @throws ProblemException INVALID_REQUEST or POLICY_VIOLATION, with pointers
 * @throws ConflictException where the consumer is disabled or holds too many keys
 */
export async function issueKey(work: Work, body: CreateKeyBody): Promise<Mutation<IssuedKey>> {
  const { manager, material } = work;
  const nowMs = material.now();
  const services = await lockServices(work, body.grants);
  await lockConsumer(work, body.consumer);
  const { environment, grants, consumer } = body;
  const { keyPrefix: prefix } = services[0]!.policy;
  const text = makeKeyText({ prefix, environment }, material.random);
  const key = newRow(work, body, { text, services, nowMs });
  await manager.insert(KeyEntity, key as object);
  await manager.insert(
    KeyGrantEntity,
    grants.map((grant) => ({ ...grant, keyId: key.id })),
  );
  await addSecret(work, text, { number: 1, atMs: nowMs });
  const change = keyChange(work, 'key.created', {
    key: touchedOf(key),
    services: servicesOf(grants),
    before: null,
    after: {
      ...{ ...settingsOf(key), consumer, environment, grants },
      ...(body.deliverTo && { deliverTo: body.deliverTo }),
    },
  });
  return {
    result: { key: await showKey(manager, key.id, nowMs), secret: text.text },
    changes: [change],
    touched: [touchedOf(key)],
  };
}

/** Says what would be right: who makes a first key mostly has no consumer yet. */
export function lackOfConsumer(slug: string): string {
  return `There is no consumer ${slug}; add it first, by POST /v1/consumers of the key service`;
}

/** Locked so that the consumer is not disabled meanwhile, which would miss this key. */
async function lockConsumer({ manager }: Work, slug: string): Promise<void> {
  const lock = { mode: 'pessimistic_read' } as const;
  const consumer = await manager.findOne(ConsumerEntity, { where: { slug }, lock });
  if (!consumer) throw invalidField('/consumer', lackOfConsumer(slug));
  if (!consumer.enabled) throw conflict(`The consumer ${slug} is disabled; enable it first`);
  const [{ count }] = await manager.query<[{ count: number }]>(COUNT_KEYS, [slug]);
  if (count >= MAX_KEYS_PER_CONSUMER)
    throw conflict(`${slug} holds ${count} keys, the most there may be; revoke some first`);
}

const COUNT_KEYS = `SELECT count(*)::integer AS count FROM keys.key WHERE consumer = $1 AND state <> 'revoked'`;

function newRow(
  { by }: Work,
  body: CreateKeyBody,
  { text, services, nowMs }: { text: KeyText; services: ServiceEntity[]; nowMs: number },
): KeyRow {
  const policies = services.map((one) => one.policy);
  const notBefore = body.notBefore === undefined ? null : new Date(body.notBefore);
  const expiresAt = lifetimeOf(body, policies, nowMs);
  refuseEmptyLife(notBefore, expiresAt);
  const { name, consumer, environment, ipAllowlist, tags, metadata } = body;
  const rateLimits = body.rateLimits ?? defaultRateLimits(policies);
  const ruled = { expiresAt: [], rateLimits: services, ipAllowlist: services };
  refuseSettings({ expiresAtMs: msOf(expiresAt), rateLimits, ipAllowlist }, ruled, nowMs);
  const createdAt = new Date(nowMs);
  return {
    ...{ name, consumer, environment, ipAllowlist, tags, metadata, notBefore, expiresAt },
    id: text.keyId,
    ...repeatedParts(body.grants, text),
    rateLimits,
    quota: quotaSetBy(body.quota, 1),
    state: 'active',
    origin: 'issued',
    version: 1,
    createdAt,
    createdBy: by.actor,
    updatedAt: createdAt,
    lastUsedAt: null,
    revokedAt: null,
    revocationReason: null,
  };
}

function conflict(detail: string): ConflictException {
  return new ConflictException(detail, { errorCode: 'CONFLICT' });
}
