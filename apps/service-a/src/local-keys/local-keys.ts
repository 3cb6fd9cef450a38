import type { Pool, PoolClient } from 'pg';
import type {
  Environment,
  Key,
  Policy,
  ProvisionKeyBody,
  RevokeKeyBody,
  RotateKeyBody,
} from '#contracts';
import {
  addressFaults,
  grantableFaults,
  grantFaults,
  makeKeyText,
  portableDigestOfText,
  rateLimitFaults,
  resolveLifetime,
  resolveOverlap,
  type KeyText,
  type PolicyFault,
} from '#key-core';
import { checkVersion, invalidField, ProblemException } from '#server';
import { SERVICE } from '../provisioning/key-provisioner.js';
import { inTransaction } from './local-database.js';
import { OWN_PEPPER, type LocalPeppers } from './local-peppers.js';
import { findRow, keyOf, statusOf, type LocalRow } from './local-rows.js';
import type { Done, Once, RepeatedChanges } from './repeated-changes.js';

/** What this service's own keys are managed with. */
export interface LocalKeysParts {
  pool: Pool;
  peppers: LocalPeppers;
  repeated: RepeatedChanges;
  policy: Policy;
  /** Scopes that there are; the policy may say which of them, or others, are granted. */
  catalogue: readonly string[];
  /** Of the keys that are issued. */
  environment: Environment;
  random: (bytes: number) => Buffer;
  now: () => number;
}

type RotateBody = RotateKeyBody & { ifMatch?: string | undefined };

/** The life of this service's own keys, each change in a transaction with its row of `event`. */
export class LocalKeys {
  constructor(readonly parts: LocalKeysParts) {}

  /** Issues a key. @throws ProblemException POLICY_VIOLATION, or as {@link RepeatedChanges.run} */
  issue(
    body: ProvisionKeyBody,
    actor: string,
    once: Once | null = null,
  ): Promise<Done<{ key: Key; secret: string }>> {
    refuseDelivery(body.deliverTo);
    return this.change(once, (client) => this.insert(client, body, actor));
  }

  private async insert(client: PoolClient, body: ProvisionKeyBody, actor: string) {
    const { policy, environment, random, now } = this.parts;
    const nowMs = now();
    const lifetime = resolveLifetime(body, [policy], nowMs);
    const limits = body.rateLimits ?? policy.defaultRateLimits;
    const ruling = [{ slug: SERVICE, policy }];
    refuse([
      ...(Array.isArray(lifetime) ? lifetime : []),
      ...this.scopeFaults(body.scopes),
      ...rateLimitFaults(limits, ruling),
      // none can be given where service-a makes keys
      ...addressFaults([], ruling),
    ]);
    const expiresAtMs = Array.isArray(lifetime) ? null : lifetime.expiresAtMs;
    const text = makeKeyText({ prefix: policy.keyPrefix, environment }, random);
    await client.query(INSERT_KEY, [
      ...[text.keyId, body.name, body.consumer, body.scopes],
      ...[expiresAtMs === null ? null : new Date(expiresAtMs), JSON.stringify(limits)],
      ...[new Date(nowMs), actor, environment],
    ]);
    await this.addSecret(client, text, { number: 1, nowMs });
    await note(client, { actor, action: 'key.created', keyId: text.keyId });
    return { key: keyOf((await findRow(client, text.keyId))!, nowMs), secret: text.text };
  }

  private scopeFaults(scopes: string[]): PolicyFault[] {
    const { policy, catalogue } = this.parts;
    const grants = [{ service: SERVICE, scopes }];
    return policy.grantableScopes === null
      ? grantFaults(grants, [{ slug: SERVICE, scopes: [...catalogue] }])
      : grantableFaults(grants, [{ slug: SERVICE, policy }]);
  }

  /**
   * Gives a key a new secret.
   *
   * @throws ProblemException NOT_FOUND, CONFLICT, POLICY_VIOLATION, or as {@link checkVersion} and {@link RepeatedChanges.run}
   */
  rotate(id: string, body: RotateBody, actor: string, once: Once | null = null) {
    refuseDelivery(body.deliverTo);
    return this.change(once, (client) => this.replace(client, id, body, actor));
  }

  private async replace(
    client: PoolClient,
    id: string,
    { ifMatch, overlapSeconds }: RotateBody,
    actor: string,
  ) {
    const { policy, random, now } = this.parts;
    const nowMs = now();
    const overlap = resolveOverlap(overlapSeconds, [policy]);
    if (Array.isArray(overlap)) throw violation(overlap);
    const before = await lockRow(client, id);
    checkVersion(ifMatch, before.version);
    mayRotate(before, nowMs);
    const { number } = before.secrets[0]!;
    const lastMs = before.expires_at?.getTime() ?? Infinity;
    const until = new Date(Math.min(nowMs + overlap.seconds * 1_000, lastMs));
    const { environment } = before;
    const text = makeKeyText({ prefix: policy.keyPrefix, environment, keyId: id }, random);
    await client.query(DROP_EARLIER, [id, number]);
    await client.query(END_SECRET, [id, number, until]);
    await this.addSecret(client, text, { number: number + 1, nowMs });
    await touch(client, id, nowMs);
    await note(client, { actor, action: 'key.rotated', keyId: id });
    const key = keyOf((await findRow(client, id))!, nowMs);
    return { key, secret: text.text, previous: { validUntil: until.toISOString() } };
  }

  /** Ends a key for good; one that is revoked stays as it is. @throws ProblemException NOT_FOUND */
  async revoke(id: string, { reason }: RevokeKeyBody, actor: string): Promise<Key> {
    const nowMs = this.parts.now();
    return inTransaction(this.parts.pool, async (client) => {
      const before = await lockRow(client, id);
      if (before.state === 'revoked') return keyOf(before, nowMs);
      await client.query(
        `UPDATE service_a.key SET state = 'revoked', revoked_at = $2, revocation_reason = $3 WHERE id = $1`,
        [id, new Date(nowMs), reason],
      );
      await touch(client, id, nowMs);
      await note(client, { actor, action: 'key.revoked', keyId: id });
      return keyOf((await findRow(client, id))!, nowMs);
    });
  }

  private change<T extends object>(
    once: Once | null,
    work: (client: PoolClient) => Promise<T>,
  ): Promise<Done<T>> {
    const { pool, repeated } = this.parts;
    return inTransaction(pool, (client) => repeated.run(client, once, () => work(client)));
  }

  private async addSecret(
    client: PoolClient,
    text: KeyText,
    { number, nowMs }: { number: number; nowMs: number },
  ): Promise<void> {
    const digest = portableDigestOfText(this.parts.peppers.own, text.text);
    await client.query(
      `INSERT INTO service_a.secret (key_id, number, digest, pepper_version, prefix, last4, created_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [text.keyId, number, digest, OWN_PEPPER, text.prefix, text.last4, new Date(nowMs)],
    );
  }
}

/** Adds a row to `event`, the audit of this service's own keys. */
export async function note(
  client: PoolClient,
  event: { actor: string; action: string; keyId: string; detail?: object },
): Promise<void> {
  await client.query(
    'INSERT INTO service_a.event (actor, action, key_id, detail) VALUES ($1, $2, $3, $4)',
    [event.actor, event.action, event.keyId, JSON.stringify(event.detail ?? {})],
  );
}

const INSERT_KEY = `
  INSERT INTO service_a.key (id, name, consumer, environment, scopes, state, expires_at, rate_limits, ip_allowlist, tags,
    metadata, origin, version, created_at, created_by, updated_at)
  VALUES ($1, $2, $3, $9, $4, 'active', $5, $6, '{}', '{}', '{}', 'issued', 1, $7, $8, $7)`;

const DROP_EARLIER = 'DELETE FROM service_a.secret WHERE key_id = $1 AND number < $2';

const END_SECRET = `
  UPDATE service_a.secret SET valid_until = $3 WHERE key_id = $1 AND number = $2`;

/** @throws ProblemException CONFLICT */
function mayRotate(row: LocalRow, nowMs: number): void {
  const status = statusOf(row, nowMs);
  if (status !== 'active') throw conflict(`The key is ${status}; only an active one is rotated`);
  const untilMs = row.secrets[1]?.until_ms ?? 0;
  if (untilMs <= nowMs) return;
  const until = new Date(untilMs).toISOString();
  throw conflict(`The secret before the present one goes on until ${until}; rotate after it`);
}

async function lockRow(client: PoolClient, id: string): Promise<LocalRow> {
  const row = await findRow(client, id, 'FOR UPDATE');
  if (row === null) throw new ProblemException('NOT_FOUND', `There is no key ${id}`);
  return row;
}

async function touch(client: PoolClient, id: string, nowMs: number): Promise<void> {
  await client.query(
    'UPDATE service_a.key SET version = version + 1, updated_at = $2 WHERE id = $1',
    [id, new Date(nowMs)],
  );
}

function refuseDelivery(deliverTo: unknown): void {
  if (deliverTo === undefined) return;
  throw invalidField('/deliverTo', 'Only the key service delivers secrets; leave it out');
}

function refuse(faults: PolicyFault[]): void {
  if (faults.length > 0) throw violation(faults);
}

function violation(faults: PolicyFault[]): ProblemException {
  const errors = faults.map(({ pointer, detail }) => ({
    pointer: pointer.replace(/^\/grants\/0\/scopes/, '/scopes'),
    code: 'POLICY_VIOLATION' as const,
    detail,
  }));
  const detail = errors.map((one) => `${one.pointer}: ${one.detail}`).join('; ');
  return new ProblemException('POLICY_VIOLATION', detail, { errors });
}

function conflict(detail: string): ProblemException {
  return new ProblemException('CONFLICT', detail);
}
