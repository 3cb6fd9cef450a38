import type { Pool } from 'pg';
import type { UsageCount } from './usage-buffer.js';

/** When a key's secret was last used. */
interface Use {
  keyId: string;
  /** 0 where it is not known which. */
  secretNumber: number;
  /** Milliseconds since 1970. */
  atMs: number;
}

const ROUND_MS = 20_000;
const MAX_ROWS = 5_000;
const MAX_USES = 200_000;

/** Rows that a change holds at this moment are left out, so that neither waits for the other; they are answered. */
const WRITE = {
  name: 'last-used',
  text: `WITH used AS (
      SELECT key_id, secret, to_timestamp(ms / 1000) AS at FROM unnest($1::text[], $2::int[], $3::float8[]) AS u (key_id, secret, ms)
    ),
    latest AS (SELECT key_id, max(at) AS at FROM used GROUP BY key_id),
    free_keys AS (
      SELECT k.id, l.at FROM keys.key k JOIN latest l ON l.key_id = k.id
      WHERE k.last_used_at IS NULL OR k.last_used_at < l.at FOR NO KEY UPDATE OF k SKIP LOCKED
    ),
    free_secrets AS (
      SELECT s.key_id, s.number, u.at FROM keys.secret s JOIN used u ON u.key_id = s.key_id AND u.secret = s.number
      WHERE s.last_used_at IS NULL OR s.last_used_at < u.at FOR NO KEY UPDATE OF s SKIP LOCKED
    ),
    keys_done AS (
      UPDATE keys.key k SET last_used_at = f.at FROM free_keys f WHERE k.id = f.id RETURNING k.id
    ),
    secrets_done AS (
      UPDATE keys.secret s SET last_used_at = f.at FROM free_secrets f
      WHERE s.key_id = f.key_id AND s.number = f.number RETURNING s.key_id, s.number
    )
    SELECT u.key_id, u.secret FROM used u JOIN keys.key k ON k.id = u.key_id
      LEFT JOIN keys.secret s ON s.key_id = u.key_id AND s.number = u.secret
    WHERE (coalesce(k.last_used_at < u.at, true) AND NOT EXISTS (SELECT FROM keys_done d WHERE d.id = k.id))
      OR (s.key_id IS NOT NULL AND coalesce(s.last_used_at < u.at, true)
        AND NOT EXISTS (SELECT FROM secrets_done d WHERE d.key_id = s.key_id AND d.number = s.number))`,
};

/**
 * Writes `last_used_at` of keys and their secrets: at once where it was not written in this round of 20 s, else in the next,
 * at most 5,000 at a time. It changes no version and waits for no change that is under way.
 */
export class LastUsed {
  private readonly due = new Map<string, Use>();
  private readonly later = new Map<string, Use>();
  /** What was written in this round. */
  private readonly written = new Set<string>();
  private roundEndMs = -Infinity;

  constructor(private readonly pool: Pool) {}

  get isEmpty(): boolean {
    return this.due.size === 0 && this.later.size === 0;
  }

  /** Notes the uses among some counts. */
  note(counts: readonly UsageCount[]): void {
    for (const { keyId, secretNumber, code, lastMs } of counts) {
      if (code !== 'VALID' || keyId === '') continue;
      const name = nameOf(keyId, secretNumber);
      const uses = this.written.has(name) ? this.later : this.due;
      keep(uses, name, { keyId, secretNumber, atMs: lastMs });
    }
  }

  /**
   * Writes what is due.
   *
   * @param isLast whether to write everything that is left
   * @throws where PostgreSQL does not answer; nothing is forgotten then
   */
  async write(isLast: boolean): Promise<void> {
    const nowMs = performance.now();
    if (isLast || nowMs >= this.roundEndMs) this.nextRound(nowMs);
    const uses = [...this.due].slice(0, MAX_ROWS);
    if (uses.length === 0) return;
    const skipped = await this.writeUses(uses.map(([, use]) => use));
    for (const [name, use] of uses) {
      if (skipped.has(name)) continue;
      this.written.add(name);
      const isNewer = this.due.get(name)!.atMs > use.atMs;
      if (isNewer) keep(this.later, name, this.due.get(name)!);
      this.due.delete(name);
    }
  }

  /** @returns names of those that a change held */
  private async writeUses(uses: readonly Use[]): Promise<Set<string>> {
    const { rows } = await this.pool.query<{ key_id: string; secret: number }>({
      ...WRITE,
      values: [
        uses.map((one) => one.keyId),
        uses.map((one) => one.secretNumber),
        uses.map((one) => one.atMs),
      ],
    });
    return new Set(rows.map((row) => nameOf(row.key_id, row.secret)));
  }

  private nextRound(nowMs: number): void {
    this.roundEndMs = nowMs + ROUND_MS;
    this.written.clear();
    for (const [name, use] of this.later) keep(this.due, name, use);
    this.later.clear();
  }
}

function keep(uses: Map<string, Use>, name: string, use: Use): void {
  const other = uses.get(name);
  if (other !== undefined) uses.set(name, other.atMs > use.atMs ? other : use);
  else if (uses.size < MAX_USES) uses.set(name, use);
}

function nameOf(keyId: string, secretNumber: number): string {
  return `${keyId}:${secretNumber}`;
}
