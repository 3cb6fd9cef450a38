import type { Pool } from 'pg';
import { MAX_LEGACY_KEY_CHARACTERS } from '#contracts';
import { hasKeyShape, portableDigestOfText } from '#key-core';
import type { LocalPeppers } from './local-peppers.js';
import { findRowByDigest, type LocalRow } from './local-rows.js';

/** What a key from elsewhere may be spelt with, and how short it may be. */
const SPELLING = /^[\x21-\x7e]{8,}$/;
/** How long it goes unnoticed that keys were taken over. */
const REREAD_MS = 1_000;
/** Most that wait for a connection. */
const MAX_WAITING = 64;

/** What foreign keys are looked for with; the connections are a share of their own, so that junk takes none from good keys. */
export interface ForeignParts {
  pool: Pool;
  peppers: LocalPeppers;
  /** Milliseconds of a clock that nobody sets. */
  now: () => number;
}

/** Keys of another form than this service's own, which came with exports: the text does not say which key it is. */
export class ForeignKeys {
  private taken: Buffer[] = [];
  private readAtMs = -Infinity;
  private reading: Promise<void> | null = null;

  constructor(private readonly parts: ForeignParts) {}

  /**
   * The key that has this text, or null. Costs nothing where no export was taken over or the text can be no such key.
   *
   * @throws where PostgreSQL does not answer, or too many wait for it
   */
  async find(text: string): Promise<LocalRow | null> {
    if (text.length > MAX_LEGACY_KEY_CHARACTERS || !SPELLING.test(text)) return null;
    if (hasKeyShape(text)) return null;
    const { pool, now } = this.parts;
    if (now() - this.readAtMs > REREAD_MS) await this.readOnce();
    if (this.taken.length === 0) return null;
    if (pool.waitingCount >= MAX_WAITING) throw new Error('Too many texts are looked for');
    const digests = this.taken.map((pepper) => portableDigestOfText(pepper, text));
    return findRowByDigest(pool, digests);
  }

  private readOnce(): Promise<void> {
    this.reading ??= this.read().finally(() => (this.reading = null));
    return this.reading;
  }

  private async read(): Promise<void> {
    const { pool, peppers, now } = this.parts;
    const atMs = now();
    this.taken = await peppers.taken(pool);
    this.readAtMs = atMs;
  }
}
