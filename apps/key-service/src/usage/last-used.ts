import type { Pool } from 'pg';
import type { UsageCount } from './usage-buffer.js';

/** When a key's secret was last used, in milliseconds since 1970. */
interface Use {
  keyId: string;
  /** 0 where it is not known which. */
  secretNumber: number;
  atMs: number;
  /** What of it is written. */
  writtenMs: number;
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
  /** What was used in this round or the one before, by key. */
  private readonly uses = new Map<string, Use[]>();
  /** What is to be written in this round; what is used again after that waits for the next. */
  private due: Use[] = [];
  private size = 0;
  private roundEndMs = -Infinity;

  constructor(private readonly pool: Pool) {}

  get isEmpty(): boolean {
    return this.due.length === 0 && ![...this.uses.values()].flat().some(isUnwritten);
  }

  /** Notes the uses among some counts. */
  note(counts: readonly UsageCount[]): void {
    for (const { keyId, secretNumber, code, lastMs } of counts) {
      if (code !== 'VALID' || keyId === '') continue;
      const use = this.useOf(keyId, secretNumber);
      if (use === undefined) this.begin({ keyId, secretNumber, atMs: lastMs });
      else if (lastMs > use.atMs) use.atMs = lastMs;
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
    const given = this.due.slice(0, MAX_ROWS).map((use) => ({ use, atMs: use.atMs }));
    if (given.length === 0) return;
    const { rows: held } = await this.pool.query<{ key_id: string; secret: number }>({
      ...WRITE,
      values: [
        given.map(({ use }) => use.keyId),
        given.map(({ use }) => use.secretNumber),
        given.map(({ atMs }) => atMs),
      ],
    });
    const again = new Set(held.map((row) => this.useOf(row.key_id, row.secret)!));
    for (const { use, atMs } of given) if (!again.has(use)) use.writtenMs = atMs;
    this.due = [...again, ...this.due.slice(given.length)];
  }

  private useOf(keyId: string, secretNumber: number): Use | undefined {
    const uses = this.uses.get(keyId);
    // nearly every key has one secret
    if (uses?.[0]!.secretNumber === secretNumber) return uses[0];
    return uses?.find((one) => one.secretNumber === secretNumber);
  }

  private begin(what: Pick<Use, 'keyId' | 'secretNumber' | 'atMs'>): void {
    if (this.size >= MAX_USES) return;
    const use = { ...what, writtenMs: -Infinity };
    this.keep(use);
    this.due.push(use);
  }

  /** What was used again since it was written is due; what was not is forgotten. */
  private nextRound(nowMs: number): void {
    this.roundEndMs = nowMs + ROUND_MS;
    const all = [...this.uses.values()].flat();
    this.uses.clear();
    this.size = 0;
    this.due = all.filter(isUnwritten);
    for (const use of this.due) this.keep(use);
  }

  private keep(use: Use): void {
    this.size += 1;
    const others = this.uses.get(use.keyId);
    if (others === undefined) this.uses.set(use.keyId, [use]);
    else others.push(use);
  }
}

function isUnwritten({ atMs, writtenMs }: Use): boolean {
  return atMs > writtenMs;
}
