import { randomBytes } from 'node:crypto';
import { ConfigError } from '#server';
import { deriveKey, parsePeppers, type Peppers } from '#key-core';
import type { KeyServiceEnv } from './config.js';

/** Injection token of {@link KeyMaterial}. */
export const KEY_MATERIAL = Symbol('KEY_MATERIAL');

/** Secrets of the process, each for one purpose, and its sources of randomness and time. */
export interface KeyMaterial {
  peppers: Peppers;
  /** Seals cache entries. */
  cacheKey: Buffer;
  /** Signs list cursors. */
  cursorKey: Buffer;
  /** Seed of the key that signs exports. */
  exportSeed: Buffer;
  /** Encrypts the one-time secrets that an Idempotency-Key may ask for again. */
  idempotencyKey: Buffer;
  random: (bytes: number) => Buffer;
  /** Milliseconds since 1970, by the clock that all replicas go by. */
  now: () => number;
}

/** @throws ConfigError naming the setting that is wrong, never its value */
export function keyMaterialOf(env: KeyServiceEnv, now: () => number): KeyMaterial {
  return {
    peppers: peppersOf(env),
    cacheKey: deriveKey(env.KEY_SERVICE_SECRET, 'cache'),
    cursorKey: deriveKey(env.KEY_SERVICE_SECRET, 'cursor'),
    exportSeed: deriveKey(env.KEY_SERVICE_SECRET, 'export-signature'),
    idempotencyKey: deriveKey(env.KEY_SERVICE_SECRET, 'idempotency'),
    random: randomBytes,
    now,
  };
}

function peppersOf(env: KeyServiceEnv): Peppers {
  try {
    return parsePeppers(env.KEY_PEPPERS, env.KEY_PEPPER_CURRENT);
  } catch (error) {
    throw new ConfigError(`KEY_PEPPERS: ${(error as Error).message}`, { cause: error });
  }
}
