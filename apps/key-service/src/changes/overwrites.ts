import type { Pool } from 'pg';
import type { Markers, TouchedKey } from './marker.js';

/** More than these are not remembered one by one: the whole cache is made cold instead. */
const MAX_OWED = 10_000;
/** So often Redis may refuse before the epoch is raised; there is a reading of the change log between two tries. */
const MAX_REFUSALS = 3;

export interface OverwritesParts {
  pool: Pool;
  markers: Markers;
  /** Makes every entry of now unbelievable. */
  raise: () => Promise<unknown>;
}

/**
 * Repeats the overwrites of changes that are committed, so that it does not matter whether who made them lived long enough to
 * do it. What Redis does not take is owed until it does: again with each reading of the change log, after a time without Redis
 * too, until somebody has raised the epoch; where Redis goes on refusing, that is done here.
 */
export class Overwrites {
  /** Versions by key id. */
  private readonly owed = new Map<string, number>();
  private isTooMuch = false;
  private refusals = 0;
  /** The epoch when Redis was first to take what is owed: under a later one nothing from before is believed. */
  private sinceEpoch: number | null = null;

  constructor(private readonly parts: OverwritesParts) {}

  /** With what is owed from before. @throws where PostgreSQL does not answer; all of it is owed then */
  async repeat(touched: readonly TouchedKey[]): Promise<void> {
    this.owe(touched);
    const { markers, pool, raise } = this.parts;
    if (!this.isOwing || !markers.isUsable) return;
    const { rows } = await pool.query<{ epoch: string }>('SELECT epoch FROM keys.cache_epoch');
    const epoch = Number(rows[0]!.epoch);
    this.sinceEpoch ??= epoch;
    if (epoch > this.sinceEpoch) return this.forget();
    const keys = [...this.owed].map(([keyId, version]) => ({ keyId, version }));
    if (!this.isTooMuch && (await markers.write(keys, epoch)) !== null) return this.forget();
    if (!markers.isUsable) return;
    this.refusals += 1;
    if (!this.isTooMuch && this.refusals < MAX_REFUSALS) return;
    await raise();
    this.forget();
  }

  private get isOwing(): boolean {
    return this.isTooMuch || this.owed.size > 0;
  }

  private owe(touched: readonly TouchedKey[]): void {
    if (touched.length === 0) return;
    this.sinceEpoch = null;
    for (const { keyId, version } of touched)
      this.owed.set(keyId, Math.max(version, this.owed.get(keyId) ?? 0));
    if (this.owed.size <= MAX_OWED) return;
    this.isTooMuch = true;
    this.owed.clear();
  }

  private forget(): void {
    this.owed.clear();
    this.isTooMuch = false;
    this.refusals = 0;
    this.sinceEpoch = null;
  }
}
