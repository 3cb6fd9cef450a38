import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { DEFAULT_POLICY } from '#contracts';
import { digestKey, makeKeyText } from '#key-core';
import { shuffled } from './shuffled.js';

const SERVICE = 'service-a';
const SCOPES = ['reports:read', 'reports:write'];
const CONSUMERS = 100;
const BATCH = 50_000;
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

/** One row of the table of keys; the digest only where the text is known. */
interface Row {
  id: string;
  digest: Buffer | null;
  last4: string;
}

/**
 * Fills an empty database, past the key service: one service, some consumers, and keys with one grant, one secret and one rate
 * limit each. The keys that are known lie at random among all others.
 *
 * @returns the texts of the known keys, in a random order
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
  const made = Array.from({ length: options.keys }, () =>
    makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes),
  );
  const known = made.map(({ keyId, text, last4 }): Row => ({
    id: keyId,
    digest: digestKey(options.pepper, text),
    last4,
  }));
  const places = placesOf(known, options.filling ?? 0);
  for (let start = 0; start < places.length; start += BATCH)
    await insertRows(
      db,
      places.slice(start, start + BATCH).map((row) => row ?? fillingRow()),
    );
  await db.query('VACUUM ANALYZE');
  // what was loaded is on the disk before anything is measured, not meanwhile
  await db.query('CHECKPOINT');
  await db.end();
  return shuffled(made.map((one) => one.text));
}

/** The order of all rows in the table, null for those that fill it. */
function placesOf(known: Row[], filling: number): (Row | null)[] {
  return filling === 0
    ? known
    : shuffled([...known, ...Array.from({ length: filling }, () => null)]);
}

function fillingRow(): Row {
  const id = `key_${randomBytes(8).toString('hex')}`;
  return { id, digest: null, last4: id.slice(-4) };
}

async function insertRows(db: Client, rows: Row[]): Promise<void> {
  const ids = rows.map(({ id }) => id);
  await insertKeys(db, rows);
  await db.query(
    'INSERT INTO keys.key_grant (key_id, service, scopes) SELECT id, $2, $3 FROM unnest($1::text[]) AS id',
    [ids, SERVICE, SCOPES],
  );
  await db.query(
    `INSERT INTO keys.secret (key_id, number, digest, pepper_version, prefix, last4)
       SELECT id, 1, coalesce(digest, sha256(id::bytea)), 1, 'kw', last4
       FROM unnest($1::text[], $2::bytea[], $3::text[]) AS t (id, digest, last4)`,
    [ids, rows.map(({ digest }) => digest), rows.map(({ last4 }) => last4)],
  );
}

/** With what the key service says of their parts too. Keys that fill are of all states, made and ending over some months, some with tags; those that are known are alike and valid. */
async function insertKeys(db: Client, rows: Row[]): Promise<void> {
  await db.query(
    `INSERT INTO keys.key (id, name, consumer, environment, rate_limits, created_by, created_at, expires_at, state,
         revoked_at, revocation_reason, tags, grants, hint_prefix, hint_last4)
       SELECT id, 'bench', 'consumer-' || (n % $3), 'live', $2, 'bench',
         now() - CASE WHEN fills THEN (n % 2000) * interval '1 hour' ELSE interval '0' END,
         now() + CASE WHEN fills THEN (n % 3000 - 600) * interval '1 hour' ELSE interval '90 days' END,
         CASE WHEN fills AND n % 33 = 0 THEN 'revoked' WHEN fills AND n % 101 = 0 THEN 'disabled' ELSE 'active' END,
         CASE WHEN fills AND n % 33 = 0 THEN now() END, CASE WHEN fills AND n % 33 = 0 THEN 'retired' END,
         CASE WHEN fills AND n % 20011 = 0 THEN '{rare}' WHEN fills AND n % 50 = 0 THEN '{common}' ELSE '{}' END::text[],
         $6, 'kw', last4
       FROM unnest($1::text[], $4::boolean[], $5::text[]) WITH ORDINALITY AS t (id, fills, last4, n)`,
    [
      rows.map(({ id }) => id),
      JSON.stringify(RATE_LIMITS),
      CONSUMERS,
      rows.map(({ digest }) => digest === null),
      rows.map(({ last4 }) => last4),
      JSON.stringify([{ service: SERVICE, scopes: SCOPES }]),
    ],
  );
}
