import type { Pool } from 'pg';
import type { Markers, TouchedKey } from './marker.js';

/** More keys than these are not overwritten one by one: the whole cache is made cold instead. */
export const MAX_OWED = 10_000;
/** Redis may refuse for so long before the epoch is raised here: longer than who made a change needs to raise it. */
const REFUSED_MS = 2_500;

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
  private refusedSinceMs: number | null = null;
  /** The epoch when Redis was first to take what is owed: under a later one nothing from before is believed. */
  private sinceEpoch: number | null = null;

  constructor(private readonly parts: OverwritesParts) {}

  /** With what is owed from before. @throws where PostgreSQL does not answer; all of it is owed then */
  async repeat(touched: readonly TouchedKey[]): Promise<void> {
    this.owe(touched);
    const { markers, pool } = this.parts;
    if (!this.isOwing || !markers.isUsable) return;
    const { rows } = await pool.query<{ epoch: string }>('SELECT epoch FROM keys.cache_epoch');
    const epoch = Number(rows[0]!.epoch);
    this.sinceEpoch ??= epoch;
    if (epoch > this.sinceEpoch || (await this.write(epoch))) this.forget();
    else if (markers.isUsable) await this.noteRefusal();
  }

  /** @returns whether Redis has taken all of it */
  private async write(epoch: number): Promise<boolean> {
    if (this.isTooMuch) return false;
    const keys = [...this.owed].map(([keyId, version]) => ({ keyId, version }));
    return (await this.parts.markers.write(keys, epoch)) !== null;
  }

  private async noteRefusal(): Promise<void> {
    const nowMs = performance.now();
    this.refusedSinceMs ??= nowMs;
    if (!this.isTooMuch && nowMs - this.refusedSinceMs < REFUSED_MS) return;
    await this.parts.raise();
    this.forget();
  }

  /** Whether Redis has yet to take something. */
  get isOwing(): boolean {
    return this.isTooMuch || this.owed.size > 0;
  }

  /** As if everything had been changed: the whole cache is made cold as soon as Redis may be used. */
  oweAll(): void {
    this.isTooMuch = true;
    this.owed.clear();
  }

  private owe(touched: readonly TouchedKey[]): void {
    if (touched.length === 0) return;
    this.sinceEpoch = null;
    for (const { keyId, version } of touched)
      this.owed.set(keyId, Math.max(version, this.owed.get(keyId) ?? 0));
    if (this.owed.size > MAX_OWED) this.oweAll();
  }

  private forget(): void {
    this.owed.clear();
    this.isTooMuch = false;
    this.refusedSinceMs = null;
    this.sinceEpoch = null;
  }
}
