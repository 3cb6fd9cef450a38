import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { DEFAULT_POLICY } from '#contracts';
import { digestKey, makeKeyText } from '#key-core';

const SERVICE = 'service-a';
const SCOPES = ['reports:read', 'reports:write'];
const CONSUMERS = 100;
const BATCH = 5_000;
const FILL_BATCH = 100_000;
/** So much that no load of the bench is ever refused. */
const RATE_LIMITS = [{ name: 'default', limit: 1_000_000, windowSeconds: 60 }];

/** How many keys, and the pepper of their digests. */
export interface SeedOptions {
  /** Keys whose texts are given back. */
  keys: number;
  /** Keys in the table besides those, of which nobody knows the text. */
  filling?: number;
  pepper: Buffer;
}

/**
 * Fills an empty database, past the key service: one service, some consumers, and keys with one grant, one secret and one rate
 * limit each. The keys that are known lie in the middle of the others.
 *
 * @returns the texts of the known keys
 */
export async function seed(ownerUrl: string, options: SeedOptions): Promise<string[]> {
  const db = new Client({ connectionString: ownerUrl });
  await db.connect();
  await db.query('INSERT INTO keys.service (slug, name, scopes, policy) VALUES ($1, $1, $2, $3)', [
    SERVICE,
    SCOPES,
    DEFAULT_POLICY,
  ]);
  await db.query(
    `INSERT INTO keys.consumer (slug, name) SELECT 'consumer-' || n, 'consumer-' || n FROM generate_series(0, $1) n`,
    [CONSUMERS - 1],
  );
  const half = Math.floor((options.filling ?? 0) / 2);
  await fill(db, half);
  const texts = await insertKnown(db, options);
  await fill(db, (options.filling ?? 0) - half);
  await db.query('VACUUM ANALYZE');
  await db.end();
  return texts;
}

async function insertKnown(db: Client, { keys, pepper }: SeedOptions): Promise<string[]> {
  const made = Array.from({ length: keys }, () =>
    makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes),
  );
  for (let start = 0; start < keys; start += BATCH) {
    const batch = made.slice(start, start + BATCH);
    const ids = batch.map((one) => one.keyId);
    await insertRows(db, ids);
    await db.query(
      `INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4)
         SELECT id, 1, digest, 1, 'kw', last4 FROM unnest($1::text[], $2::bytea[], $3::text[]) AS t (id, digest, last4)`,
      [ids, batch.map((one) => digestKey(pepper, one.text)), batch.map((one) => one.last4)],
    );
  }
  return made.map((one) => one.text);
}

async function fill(db: Client, count: number): Promise<void> {
  for (let done = 0; done < count; done += FILL_BATCH) {
    const { rows } = await db.query<{ ids: string[] }>(
      `SELECT array_agg('key_' || substr(md5(random()::text || n), 1, 16)) AS ids FROM generate_series(1, $1::int) n`,
      [Math.min(FILL_BATCH, count - done)],
    );
    const ids = rows[0]!.ids;
    await insertRows(db, ids, true);
    await db.query(
      `INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4)
         SELECT id, 1, sha256(id::bytea), 1, 'kw', right(id, 4) FROM unnest($1::text[]) AS id`,
      [ids],
    );
  }
}

/** `isVaried`: of all states, ending over some months, some with tags; else all are alike and valid. */
async function insertRows(db: Client, ids: string[], isVaried = false): Promise<void> {
  await db.query(
    `INSERT INTO keys.key (id, name, consumer, environment, rate_limits, created_by, expires_at, state, revoked_at,
         revocation_reason, tags)
       SELECT id, 'bench', 'consumer-' || (n % $3), 'live', $2, 'bench',
         now() + CASE WHEN $4 THEN (n % 3000 - 600) * interval '1 hour' ELSE interval '90 days' END,
         CASE WHEN $4 AND n % 33 = 0 THEN 'revoked' WHEN $4 AND n % 101 = 0 THEN 'disabled' ELSE 'active' END,
         CASE WHEN $4 AND n % 33 = 0 THEN now() END, CASE WHEN $4 AND n % 33 = 0 THEN 'retired' END,
         CASE WHEN $4 AND n % 20011 = 0 THEN '{rare}' WHEN $4 AND n % 50 = 0 THEN '{common}' ELSE '{}' END::text[]
       FROM unnest($1::text[]) WITH ORDINALITY AS t (id, n)`,
    [ids, JSON.stringify(RATE_LIMITS), CONSUMERS, isVaried],
  );
  await db.query(
    'INSERT INTO keys.key_grant (key_id, service, scopes) SELECT id, $2, $3 FROM unnest($1::text[]) AS id',
    [ids, SERVICE, SCOPES],
  );
}
