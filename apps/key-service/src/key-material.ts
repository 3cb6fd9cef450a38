import type { Peppers } from '#key-core';

/** Injection token of {@link KeyMaterial}. */
export const KEY_MATERIAL = Symbol('KEY_MATERIAL');

/** Secrets of the key service, and its sources of randomness and time. */
export interface KeyMaterial {
  /** Peppers of key digests, by version. */
  peppers: Peppers;
  /** Signs the cursors of lists. */
  cursorKey: Buffer;
  /** Authenticates cache entries. */
  cacheKey: Buffer;
  /** Seals one-time secrets for idempotent replays. */
  idempotencyKey: Buffer;
  /** `n` bytes from the operating system. */
  random: (n: number) => Buffer;
  /** Milliseconds since 1970. */
  now: () => number;
}
