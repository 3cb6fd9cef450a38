import type { Pool } from 'pg';
import type { EntityManager } from 'typeorm';
import type { ParityBatch, ParityOutcome, ParityReport, VerdictCode } from '#contracts';

const EXAMPLES = 10;
/** A batch may be sent again for this long. */
const BATCH_LIFE = '1 hour';

/**
 * Counts what a service says that both sides decided, once a batch.
 *
 * @returns how many entries were counted by this call
 */
export async function takeParity(
  pool: Pool,
  service: string,
  { batchId, entries }: ParityBatch,
): Promise<number> {
  const { rows } = await pool.query<{ accepted: number }>(TAKE, [
    service,
    batchId,
    entries.map((one) => one.keyId ?? ''),
    entries.map((one) => one.oldCode),
    entries.map((one) => one.centralCode),
    entries.map((one) => one.count),
  ]);
  return rows[0]?.accepted ?? 0;
}

/** What was counted for a service since it was last moved, with the most frequent examples. */
export async function readParity(manager: EntityManager, service: string): Promise<ParityReport> {
  const rows = await manager.query<Row[]>(READ, [service, EXAMPLES]);
  const of = (outcome: ParityOutcome) => rows.filter((row) => row.outcome === outcome);
  const total = (outcome: ParityOutcome) => Number(of(outcome)[0]?.total ?? 0);
  const since = rows.map((row) => row.since.getTime());
  return {
    service,
    since: since.length === 0 ? null : new Date(Math.min(...since)).toISOString(),
    agree: total('agree'),
    onlyOld: total('onlyOld'),
    onlyCentral: total('onlyCentral'),
    examples: {
      agree: of('agree').map(exampleOf),
      onlyOld: of('onlyOld').map(exampleOf),
      onlyCentral: of('onlyCentral').map(exampleOf),
    },
  };
}

/** Begins the comparison of a service anew. */
export async function forgetParity(manager: EntityManager, service: string): Promise<void> {
  await manager.query('DELETE FROM keys.import_parity WHERE service = $1', [service]);
}

interface Row {
  outcome: ParityOutcome;
  key_id: string;
  old_code: VerdictCode;
  central_code: VerdictCode;
  count: string;
  total: string;
  since: Date;
  last_at: Date;
}

function exampleOf(row: Row): ParityReport['examples']['agree'][number] {
  return {
    keyId: row.key_id === '' ? null : row.key_id,
    oldCode: row.old_code,
    centralCode: row.central_code,
    count: Number(row.count),
    lastSeenAt: row.last_at.toISOString(),
  };
}

const TAKE = `
  WITH forgotten AS (DELETE FROM keys.parity_batch WHERE at < now() - interval '${BATCH_LIFE}'),
  claimed AS (INSERT INTO keys.parity_batch (service, id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING service),
  taken AS (
    INSERT INTO keys.import_parity (service, key_id, old_code, central_code, count, first_at, last_at)
    SELECT claimed.service, e.key_id, e.old_code, e.central_code, sum(e.count), now(), now()
    FROM claimed, unnest($3::text[], $4::text[], $5::text[], $6::bigint[]) AS e (key_id, old_code, central_code, count)
    GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (service, key_id, old_code, central_code) DO UPDATE
      SET count = import_parity.count + excluded.count, last_at = excluded.last_at
    RETURNING 1
  )
  SELECT CASE WHEN EXISTS (SELECT FROM claimed) THEN cardinality($3::text[]) ELSE 0 END AS accepted FROM (SELECT count(*) FROM taken) t`;

/** A key that has spent its limit is as good as any: in shadow one side spends, and the other only looks. */
const READ = `
  WITH sides AS (
    SELECT *, old_code IN ('VALID', 'RATE_LIMITED', 'QUOTA_EXCEEDED') AS old_opens,
      central_code IN ('VALID', 'RATE_LIMITED', 'QUOTA_EXCEEDED') AS central_opens
    FROM keys.import_parity WHERE service = $1
  ), rows AS (
    SELECT *, CASE WHEN old_opens = central_opens THEN 'agree'
      WHEN old_opens THEN 'onlyOld' ELSE 'onlyCentral' END AS outcome
    FROM sides
  ), ranked AS (
    SELECT *, sum(count) OVER (PARTITION BY outcome) AS total, min(first_at) OVER () AS since,
      row_number() OVER (PARTITION BY outcome ORDER BY count DESC, key_id, old_code, central_code) AS place
    FROM rows
  )
  SELECT * FROM ranked WHERE place <= $2 ORDER BY outcome, place`;
