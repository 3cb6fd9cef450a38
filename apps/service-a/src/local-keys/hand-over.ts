import type { Pool } from 'pg';
import { importedKeys, type ImportedKeys, type KeyImport } from '#contracts';
import { SERVICE } from '../provisioning/key-provisioner.js';
import { noteTold } from './handed-over.js';
import { OWN_PEPPER, type LocalPeppers } from './local-peppers.js';

const PART = 500;
const OWN_SHAPE = { minLength: 70, maxLength: 100 };
const FOREIGN_SHAPE = { minLength: 8, maxLength: 1_024 };

/** Calls the key service as an admin: `POST` with a body. */
export type PostAsAdmin = (
  path: string,
  body: object,
) => Promise<{ status: number; body: unknown }>;

/** What was handed over. */
export interface HandedOver {
  imports: KeyImport[];
  created: number;
  unchanged: number;
  /** Keys that the key service did not take, and why. */
  failed: { keyId: string; why: string }[];
}

interface Row {
  seq: string;
  id: string;
  hash: string;
  item: object;
  consumer: string;
  version: number;
  secret: number;
}

/**
 * Hands this service's keys over to the key service: their digests, under the pepper of each, in mode `shadow`. May be repeated.
 * Of a key whose earlier secret still goes on the current one is handed over.
 *
 * @throws Error where the key service does not take a call as a whole
 */
export async function handOver(
  { pool, peppers }: { pool: Pool; peppers: LocalPeppers },
  post: PostAsAdmin,
): Promise<HandedOver> {
  const done: HandedOver = { imports: [], created: 0, unchanged: 0, failed: [] };
  const { rows: versions } = await pool.query<{ version: number }>(
    'SELECT DISTINCT pepper_version AS version FROM service_a.secret WHERE valid_until IS NULL ORDER BY 1',
  );
  for (const { version } of versions) {
    const pepper = await peppers.get(version);
    if (pepper === undefined) throw new Error(`The pepper ${version} cannot be opened`);
    const scheme = {
      ...{ algorithm: 'keyward-local', encoding: 'base64url', key: pepper.toString('base64') },
      // what came with an export may be of another form than ours
      shape: version === OWN_PEPPER ? OWN_SHAPE : FOREIGN_SHAPE,
    };
    await handOverUnder({ pool, version, scheme }, post, done);
  }
  return done;
}

async function handOverUnder(
  { pool, version, scheme }: { pool: Pool; version: number; scheme: object },
  post: PostAsAdmin,
  done: HandedOver,
): Promise<void> {
  for (let after = '0'; ;) {
    const { rows } = await pool.query<Row>(SELECT, [version, after, PART]);
    if (rows.length === 0) return;
    for (const consumer of new Set(rows.map((row) => row.consumer)))
      await post('/v1/consumers', { slug: consumer });
    const items = rows.map(({ id, hash, item }) => ({ ...item, item: id, id, hash }));
    const source = `local-${version}`;
    const answer = await post('/v1/imports', { service: SERVICE, source, scheme, items });
    if (answer.status !== 200)
      throw new Error(`Importing was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    const taken = importedKeys.parse(answer.body);
    const ids = new Set(taken.results.map((one) => one.keyId));
    await noteTold(
      pool,
      rows.filter((row) => ids.has(row.id)),
    );
    await add(pool, done, taken);
    after = rows.at(-1)!.seq;
  }
}

async function add(pool: Pool, done: HandedOver, taken: ImportedKeys): Promise<void> {
  done.created += taken.created;
  done.unchanged += taken.unchanged;
  done.imports = [...done.imports.filter((one) => one.id !== taken.import.id), taken.import];
  const over = taken.results.filter((one) => one.status === 'created').map((one) => one.keyId!);
  await pool.query(
    `INSERT INTO service_a.event (actor, action, key_id, detail)
     SELECT 'hand-over', 'key.handed_over', id, '{}' FROM unnest($1::text[]) AS id`,
    [over],
  );
  for (const { status, item, error } of taken.results)
    if (status === 'failed') done.failed.push({ keyId: item ?? '', why: error!.detail });
}

const iso = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const SELECT = `
  SELECT k.seq, k.id, k.consumer, k.version, s.number AS secret, rtrim(translate(encode(s.digest, 'base64'), '+/', '-_'), '=') AS hash,
    json_strip_nulls(json_build_object('name', k.name, 'consumer', k.consumer, 'environment', k.environment,
      'scopes', k.scopes, 'notBefore', ${iso('k.not_before')}, 'rateLimits', k.rate_limits,
      'ipAllowlist', k.ip_allowlist, 'tags', k.tags, 'metadata', k.metadata, 'enabled', k.state = 'active',
      'entropyBits', 256, 'hint', json_build_object('prefix', s.prefix, 'last4', s.last4)))::jsonb
      || jsonb_build_object('expiresAt', ${iso('k.expires_at')}) AS item
  FROM service_a.key k JOIN service_a.secret s ON s.key_id = k.id AND s.valid_until IS NULL
  WHERE s.pepper_version = $1 AND k.seq > $2 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > now())
  ORDER BY k.seq LIMIT $3`;
