import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import argon2 from 'argon2';
import { createGate } from './hash-gate.js';
import { normalisePassword } from './password-policy.js';

/** The first choice of OWASP's Password Storage cheat sheet; raise them, and hashes are upgraded at the next login. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** libuv has four threads; one is left for the rest of the process. */
const gate = createGate({ running: Math.min(3, availableParallelism()), waiting: 64 });

/** A hash that no password has, with today's cost: what is checked where there is no user. */
const NOBODYS_HASH = [
  '$argon2id$v=19',
  `m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}`,
  randomBytes(16).toString('base64').replaceAll('=', ''),
  randomBytes(32).toString('base64').replaceAll('=', ''),
].join('$');

/**
 * The argon2id hash of a password, with its parameters and a salt of its own.
 *
 * @throws ServiceUnavailableException when too many hash at present
 */
export function hashPassword(password: string): Promise<string> {
  const text = normalisePassword(password);
  return gate.run(() => argon2.hash(text, { type: argon2.argon2id, ...COST }));
}

/**
 * Whether the password is the one of a hash. Takes as long for no hash, or one that cannot be read, as for a good one.
 *
 * @throws ServiceUnavailableException when too many hash at present
 */
export async function isPasswordOf(hash: string | null, password: string): Promise<boolean> {
  const text = normalisePassword(password);
  const usable = hash !== null && hash.startsWith('$argon2id$') ? hash : NOBODYS_HASH;
  return gate.run(async () => {
    const isRight = await argon2
      .verify(usable, text)
      .catch(() => argon2.verify(NOBODYS_HASH, text));
    return isRight && usable === hash;
  });
}

/** Whether a hash was made at another cost than today's. */
export function isOutdated(hash: string): boolean {
  return argon2.needsRehash(hash, COST);
}
