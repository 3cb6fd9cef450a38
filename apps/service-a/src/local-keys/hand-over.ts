import type { Pool } from 'pg';
import type { ImportedKeys, ImportResult, KeyImport } from '#contracts';
import { noteTold, type ToldKey } from './handed-over.js';
import { ITEM } from './import-item.js';
import { importUnder, type HandOverParts } from './import-under.js';
import { OWN_PEPPER } from './local-peppers.js';
import { tellChanges, type Told } from './tell-changes.js';

const PART = 500;

/** What was handed over; `failed` has the new keys, too, that the key service did not take. */
export interface HandedOver extends Told {
  imports: KeyImport[];
  created: number;
  /** Keys that the key service had already, unchanged, though it was not noted here. */
  unchanged: number;
}

interface Row {
  seq: string;
  id: string;
  item: object;
  consumer: string;
  version: number;
  /** Number of the secret that is handed over, and of the current one. */
  secret: number;
  current: number;
  /** Whether the current one was made here, so that the key service cannot have it from elsewhere. */
  is_own: boolean;
}

/**
 * Hands this service's keys over to the key service: their digests, under the pepper of each, and what has changed of those that it has.
 * May be repeated. A key whose earlier secret still goes on is handed over with that one, and then told of as rotated: both go on there.
 *
 * @param hasCutOver whether the key service alone counts already: it takes no word of a rotation then, and of a key that is new
 *   to it only the current secret is sent
 * @throws Error where the key service does not take a call as a whole
 */
export async function handOver(parts: HandOverParts, hasCutOver: boolean): Promise<HandedOver> {
  const none = { created: 0, unchanged: 0, rotated: 0, revoked: 0, disabled: 0 };
  const done: HandedOver = { imports: [], ...none, failed: [] };
  const { rows: versions } = await parts.pool.query<{ version: number }>(
    `SELECT DISTINCT pepper_version AS version FROM service_a.secret s WHERE ${GOES_ON} ORDER BY 1`,
  );
  try {
    for (const { version } of versions) await handOverUnder(parts, { version, hasCutOver }, done);
  } finally {
    // also where it ends halfway: those that went with their earlier secret have a later one
    await tellChanges(parts, done);
  }
  return done;
}

async function handOverUnder(
  parts: HandOverParts,
  { version, hasCutOver }: { version: number; hasCutOver: boolean },
  done: HandedOver,
): Promise<void> {
  const { pool, post } = parts;
  for (let after = '0'; ;) {
    const { rows } = await pool.query<Row>(SELECT, [version, after, PART, hasCutOver]);
    if (rows.length === 0) return;
    for (const consumer of new Set(rows.map((row) => row.consumer)))
      await post('/v1/consumers', { slug: consumer });
    const items = rows.map((row) => row.item);
    const answer = await importUnder(parts, version, items);
    const taken = withKnown(answer, version);
    await noteTold(pool, toldOf(rows, { imported: idsOf(answer), there: idsOf(taken) }));
    await add(pool, done, taken);
    after = rows.at(-1)!.seq;
  }
}

function idsOf({ results }: ImportedKeys): Set<string | undefined> {
  return new Set(results.map((one) => one.keyId));
}

/** What the key service has now: one of which it has the earlier secret only is as it was before it was rotated. */
function toldOf(
  rows: readonly Row[],
  { imported, there }: Record<'imported' | 'there', Set<string | undefined>>,
): ToldKey[] {
  return rows
    .filter(({ id }) => there.has(id))
    .map(({ id, version, secret, current, is_own: isOwn }) =>
      secret !== current && (imported.has(id) || isOwn)
        ? { id, version: version - 1, secret }
        : { id, version, secret: current },
    );
}

/** A key that came with an export, and whose id the key service has, is the one that it was exported from. */
function withKnown(taken: ImportedKeys, version: number): ImportedKeys {
  if (version === OWN_PEPPER) return taken;
  const results = taken.results.map((one): ImportResult => {
    const isThere = one.error?.code === 'ALREADY_EXISTS' && one.error.pointer === '/id';
    if (!isThere || one.item === null) return one;
    return { index: one.index, item: one.item, status: 'unchanged', keyId: one.item };
  });
  const unchanged = results.filter((one) => one.status === 'unchanged').length;
  return { ...taken, unchanged, results };
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

const GOES_ON = '(s.valid_until IS NULL OR s.valid_until > now())';

/** Each with the earliest of its secrets that goes on, or with the current one. */
const SELECT = `
  SELECT k.seq, k.id, k.consumer, k.version, s.number AS secret, c.number AS current,
    c.pepper_version = ${OWN_PEPPER} AS is_own, ${ITEM} AS item
  FROM service_a.key k JOIN service_a.secret c ON c.key_id = k.id AND c.valid_until IS NULL
  JOIN LATERAL (SELECT * FROM service_a.secret s WHERE s.key_id = k.id AND ${GOES_ON}
    AND (s.valid_until IS NULL OR NOT $4) ORDER BY s.number LIMIT 1) s ON true
  WHERE s.pepper_version = $1 AND k.seq > $2 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > now())
    AND NOT EXISTS (SELECT FROM service_a.handed_over h WHERE h.key_id = k.id)
  ORDER BY k.seq LIMIT $3`;
