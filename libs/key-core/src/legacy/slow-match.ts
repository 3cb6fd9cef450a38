import { hash as digestOf, pbkdf2Sync, scryptSync, timingSafeEqual } from 'node:crypto';
import * as argon2 from 'argon2';
import { compareSync } from 'bcryptjs';
import type { LegacyScheme } from '#contracts';
import { LEGACY_COSTS, readSlowHash, type SlowAlgorithm, type SlowHash } from './slow-hash.js';

/** A salted hash and the part of a key that may be what was hashed. */
export interface SlowQuestion {
  algorithm: SlowAlgorithm;
  hash: string;
  part: string;
  preHashed?: LegacyScheme['preHashed'];
}

/**
 * Whether a salted hash is that of a part of a key. It keeps its thread busy for as long as the hash costs, up to seconds: not
 * for a thread that answers requests. A hash beyond the bounds, and a key as long as all that bcrypt reads, are a no.
 */
export async function matchesSlowHash(question: SlowQuestion): Promise<boolean> {
  const hash = readSlowHash(question.algorithm, question.hash);
  if (typeof hash === 'string') return false;
  const part = preHash(question.part, question.preHashed);
  switch (hash.algorithm) {
    case 'bcrypt':
      return matchesBcrypt(hash.text, part, question.preHashed !== undefined);
    case 'argon2id':
      return argon2.verify(hash.text, part);
    case 'scrypt':
      return matchesScrypt(hash, part);
    default:
      return matchesPbkdf2(hash, part);
  }
}

type Of<A extends SlowAlgorithm> = Extract<SlowHash, { algorithm: A }>;

/**
 * bcrypt reads 72 bytes and no further: a text as long as that may be the beginning of the one that was hashed. Of a digest that many
 * bytes are enough.
 */
function matchesBcrypt(text: string, part: string, isDigest: boolean): boolean {
  if (!isDigest && Buffer.byteLength(part) > LEGACY_COSTS.bcrypt.maxKeyBytes) return false;
  return compareSync(part, text);
}

function matchesScrypt({ n, r, p, salt, digest }: Of<'scrypt'>, part: string): boolean {
  const maxmem = 128 * n * r + 128 * r * p + 1_024 * 1_024;
  const made = scryptSync(part, salt, digest.length, { N: n, r, p, maxmem });
  return timingSafeEqual(made, digest);
}

function matchesPbkdf2({ hash, iterations, salt, digest }: Of<'pbkdf2'>, part: string): boolean {
  return timingSafeEqual(pbkdf2Sync(part, salt, iterations, digest.length, hash), digest);
}

function preHash(part: string, preHashed: LegacyScheme['preHashed']): string {
  if (preHashed === undefined) return part;
  const [algorithm, encoding] = preHashed.split('-') as [string, 'hex' | 'base64'];
  return digestOf(algorithm, part, encoding);
}
