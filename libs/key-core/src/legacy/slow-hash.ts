import { MAX_LEGACY_HASH_CHARACTERS, type LegacyAlgorithm } from '#contracts';
import type { FastAlgorithm } from './fast-hash.js';

/** Algorithms with a salt, slow on purpose. */
export type SlowAlgorithm = Exclude<LegacyAlgorithm, FastAlgorithm>;

/** A salted hash, taken apart; bcrypt and argon2id stay in the text that their libraries read. */
export type SlowHash =
  | { algorithm: 'bcrypt'; text: string; cost: number }
  | { algorithm: 'argon2id'; text: string; memoryKib: number; passes: number }
  | { algorithm: 'scrypt'; n: number; r: number; p: number; salt: Buffer; digest: Buffer }
  | {
      algorithm: 'pbkdf2';
      hash: 'sha1' | 'sha256' | 'sha512';
      iterations: number;
      salt: Buffer;
      digest: Buffer;
    };

/** What a hash may cost at most; dearer ones are refused when they are imported and again when they are used. */
export const LEGACY_COSTS = {
  bcrypt: { minCost: 8, maxCost: 14, maxKeyBytes: 71 },
  argon2id: { maxMemoryKib: 64 * 1_024, maxPasses: 10, maxLanes: 4 },
  scrypt: { maxN: 2 ** 17, maxR: 16, maxP: 4 },
  pbkdf2: { maxIterations: 2_000_000 },
} as const;

/**
 * Reads a salted hash: bcrypt as `$2b$...`, argon2id and scrypt as PHC strings, PBKDF2 as a PHC string, as passlib or as
 * Django writes it.
 *
 * @returns the hash, or in words why it is not taken; never with a piece of it
 */
export function readSlowHash(algorithm: SlowAlgorithm, text: string): SlowHash | string {
  if (text.length > MAX_LEGACY_HASH_CHARACTERS)
    return `Use at most ${MAX_LEGACY_HASH_CHARACTERS} characters`;
  return READERS[algorithm](text);
}

const READERS = {
  bcrypt: readBcrypt,
  argon2id: readArgon2,
  scrypt: readScrypt,
  pbkdf2: readPbkdf2,
} as const satisfies Record<SlowAlgorithm, (text: string) => SlowHash | string>;

function readBcrypt(text: string): SlowHash | string {
  const match = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/.exec(text);
  if (match === null) return 'Use a bcrypt string such as $2b$10$...';
  const { minCost, maxCost } = LEGACY_COSTS.bcrypt;
  const cost = Number(match[1]);
  if (cost < minCost || cost > maxCost) return `Use a bcrypt cost of ${minCost} to ${maxCost}`;
  return { algorithm: 'bcrypt', text, cost };
}

const ARGON2 =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,128}\$[A-Za-z0-9+/]{22,128}$/;

function readArgon2(text: string): SlowHash | string {
  const match = ARGON2.exec(text);
  if (match === null) return 'Use a PHC string such as $argon2id$v=19$m=19456,t=2,p=1$...';
  const [memoryKib, passes, lanes] = match.slice(1).map(Number) as [number, number, number];
  const { maxMemoryKib, maxPasses, maxLanes } = LEGACY_COSTS.argon2id;
  const isWithin =
    isFrom(1, maxPasses, passes) && isFrom(1, maxLanes, lanes) && memoryKib <= maxMemoryKib;
  if (!isWithin || memoryKib < 8 * lanes)
    return `Use argon2id with m <= ${maxMemoryKib}, t <= ${maxPasses}, p <= ${maxLanes}`;
  return { algorithm: 'argon2id', text, memoryKib, passes };
}

const SCRYPT =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/.]{8,128}={0,2})\$([A-Za-z0-9+/.]{22,171}={0,2})$/;

function readScrypt(text: string): SlowHash | string {
  const match = SCRYPT.exec(text);
  if (match === null) return 'Use a PHC string such as $scrypt$ln=15,r=8,p=1$...';
  const [ln, r, p] = match.slice(1, 4).map(Number) as [number, number, number];
  const { maxN, maxR, maxP } = LEGACY_COSTS.scrypt;
  if (!isFrom(1, Math.log2(maxN), ln) || !isFrom(1, maxR, r) || !isFrom(1, maxP, p))
    return `Use scrypt with N <= ${maxN}, r <= ${maxR}, p <= ${maxP}`;
  const [salt, digest] = [bytesOf(match[4]!), bytesOf(match[5]!)];
  return { algorithm: 'scrypt', n: 2 ** ln, r, p, salt, digest };
}

const PBKDF2 =
  /^\$pbkdf2-?(|sha1|sha256|sha512)\$(?:i=)?(\d{1,8})(?:,l=\d{1,3})?\$([A-Za-z0-9+/.]{8,128}={0,2})\$([A-Za-z0-9+/.]{22,171}={0,2})$/;
const DJANGO =
  /^pbkdf2_(sha1|sha256|sha512)\$(\d{1,8})\$([A-Za-z0-9]{8,128})\$([A-Za-z0-9+/]{22,171}={0,2})$/;

function readPbkdf2(text: string): SlowHash | string {
  const django = DJANGO.exec(text);
  const match = django ?? PBKDF2.exec(text);
  if (match === null) return 'Use a PHC string such as $pbkdf2-sha256$i=600000$...';
  const iterations = Number(match[2]);
  const { maxIterations } = LEGACY_COSTS.pbkdf2;
  if (!isFrom(1, maxIterations, iterations)) return `Use at most ${maxIterations} iterations`;
  return {
    algorithm: 'pbkdf2',
    hash: (match[1] === '' ? 'sha1' : match[1]) as 'sha1' | 'sha256' | 'sha512',
    iterations,
    // Django hashes the salt as it is written, all others its bytes
    salt: django === null ? bytesOf(match[3]!) : Buffer.from(match[3]!),
    digest: bytesOf(match[4]!),
  };
}

function isFrom(least: number, most: number, value: number): boolean {
  return value >= least && value <= most;
}

/** Base64, with passlib's `.` for `+` as well. */
function bytesOf(text: string): Buffer {
  return Buffer.from(text.replaceAll('.', '+'), 'base64');
}
