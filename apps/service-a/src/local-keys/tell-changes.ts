import { revocationReason } from '#contracts';
import { noteTold } from './handed-over.js';
import { ITEM } from './import-item.js';
import { importUnder, type HandOverParts } from './import-under.js';
import { inTransaction } from './local-database.js';

const PART = 500;

/** A key that was handed over and has changed here since. */
interface ChangedRow {
  id: string;
  version: number;
  state: 'active' | 'disabled' | 'revoked';
  revocation_reason: string | null;
  /** Number of its current secret, and of the one that the key service has. */
  secret: number;
  told: number;
  pepper_version: number | null;
  item: object;
  /** When the secret that the key service has ends. */
  until: Date;
}

/** How many changes of each kind the key service was told of. */
export interface Told {
  rotated: number;
  revoked: number;
  disabled: number;
  /** Keys that it did not take, or did not change, and why. */
  failed: { keyId: string; why: string }[];
}

/**
 * Tells the key service what has changed here of keys that it has: a revocation, a new secret, that a key is disabled. A key that was
 * rotated more than once since it was told of goes on there by its newest secret only.
 *
 * @param only the key to tell of; all of them unless it is given
 * @throws Error where the key service does not take a call as a whole
 */
export async function tellChanges(
  parts: HandOverParts,
  done: Told,
  only: string | null = null,
): Promise<void> {
  for (let after = ''; ;) {
    const { rows } = await parts.pool.query<ChangedRow>(SELECT, [after, PART, only]);
    for (const { id: keyId } of rows) {
      const why = await tellInTurn(parts, keyId, done);
      if (why !== null) done.failed.push({ keyId, why });
    }
    if (rows.length < PART) return;
    after = rows.at(-1)!.id;
  }
}

/**
 * One at a time tells of a key, and of what it is by then: the word of an earlier secret that came after that of the newest would
 * bring it back there, and end the newest.
 */
function tellInTurn(parts: HandOverParts, id: string, done: Told): Promise<string | null> {
  return inTransaction(parts.pool, async (client) => {
    const { rowCount } = await client.query(TURN, [id]);
    if (rowCount === 0) return 'It is being told of already; hand over again';
    const { rows } = await client.query<ChangedRow>(SELECT, ['', 1, id]);
    const row = rows[0];
    if (row === undefined) return null;
    const why = await tell(parts, row, done);
    if (why === null) await noteTold(client, [row]);
    return why;
  });
}

const TURN = 'SELECT FROM service_a.handed_over WHERE key_id = $1 FOR UPDATE SKIP LOCKED';

/** @returns why the key service did not take it, or null */
async function tell(parts: HandOverParts, row: ChangedRow, done: Told): Promise<string | null> {
  const { id, state } = row;
  if (state === 'revoked') {
    const reason = reasonOf(row);
    const why = await change(parts, `/v1/keys/${id}/revoke`, { reason });
    if (why === null) done.revoked += 1;
    return why;
  }
  const why = row.secret === row.told ? null : await tellSecret(parts, row, done);
  if (why !== null || state !== 'disabled') return why;
  done.disabled += 1;
  return change(parts, `/v1/keys/${id}/disable`, {});
}

/** Its own one, unless that was kept before reasons such as it were refused: for a word no key goes on. */
function reasonOf({ revocation_reason: own }: ChangedRow): string {
  return revocationReason.safeParse(own).data ?? 'revoked';
}

async function tellSecret(
  parts: HandOverParts,
  { item, until, secret: number, pepper_version: version }: ChangedRow,
  done: Told,
): Promise<string | null> {
  const told = { ...item, supersedes: { until: until.toISOString(), number } };
  const { results, rotated } = await importUnder(parts, version!, [told]);
  done.rotated += rotated;
  return results[0]!.error?.detail ?? null;
}

/** A key that is not there needs no change. */
async function change({ post }: HandOverParts, path: string, body: object): Promise<string | null> {
  const { status } = await post(path, body);
  return status < 300 || status === 404 ? null : `${path} was answered ${status}`;
}

const SELECT = `
  SELECT k.id, k.version, k.state, k.revocation_reason, coalesce(s.number, 0) AS secret, h.secret AS told,
    s.pepper_version, ${ITEM} AS item, coalesce(before.valid_until, now()) AS until
  FROM service_a.handed_over h JOIN service_a.key k ON k.id = h.key_id AND k.version <> h.version
  LEFT JOIN service_a.secret s ON s.key_id = k.id AND s.valid_until IS NULL
  LEFT JOIN service_a.secret before ON before.key_id = k.id AND before.number = h.secret
  WHERE k.id > $1 AND ($3::text IS NULL OR k.id = $3)
    AND (k.state = 'revoked' OR k.expires_at IS NULL OR k.expires_at > now())
  ORDER BY k.id LIMIT $2`;
