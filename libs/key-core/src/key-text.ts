import type { Environment } from '#contracts';
import { base62OfBytes, randomBase62 } from './base62.js';
import { CHECKSUM_LENGTH, checksumOf } from './checksum.js';

const ID_LENGTH = 16;
const SECRET_BYTES = 32;
const SECRET_LENGTH = 43;
const SHAPE = /^([a-z0-9]{1,12})_(live|test)_([0-9A-Za-z]{16})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;
/** The greatest 256-bit number. 62 ** 43 is a little more, and texts above this one stand for no secret. */
const LAST_SECRET = base62OfBytes(Buffer.alloc(SECRET_BYTES, 0xff), SECRET_LENGTH);
const KEY_ID = /^key_[0-9A-Za-z]{16}$/;

/** A key's text and what can be read from it. All but `text` may be shown; `text` is the credential itself. */
export interface KeyText {
  /** 1 to 12 of `a-z0-9`, from the service's policy. */
  prefix: string;
  environment: Environment;
  /** `key_` and the 16 base62 characters of the text. */
  keyId: string;
  /** `<prefix>_<environment>_<id>_<secret><checksum>`, at most 84 characters of `0-9A-Za-z_`. */
  text: string;
  /** The last 4 characters, for people to tell keys apart. */
  last4: string;
}

/** What a new text is made for. `keyId` is given where a key that exists gets another secret. */
export interface KeyTextOptions {
  prefix: string;
  environment: Environment;
  keyId?: string | undefined;
}

/**
 * Reads the text of a key. A key has exactly one spelling: shape, checksum and range of the secret are checked here, before
 * any hash or look-up.
 *
 * @returns null for everything that {@link makeKeyText} could not have made
 */
export function parseKeyText(text: string): KeyText | null {
  const parts = SHAPE.exec(text);
  if (parts === null) return null;
  const [, prefix, environment, id, secret, checksum] = parts as unknown as string[];
  if (secret! > LAST_SECRET) return null;
  if (checksumOf(text.slice(0, -CHECKSUM_LENGTH)) !== checksum) return null;
  return {
    prefix: prefix!,
    environment: environment as Environment,
    keyId: `key_${id}`,
    text,
    last4: text.slice(-4),
  };
}

/** Whether a text is spelt as keys here are; its checksum may be wrong. */
export function hasKeyShape(text: string): boolean {
  return SHAPE.test(text);
}

/** 16 base62 characters that nobody else has drawn, 95 bits: what follows `key_` in an id. */
export function randomId(random: (bytes: number) => Buffer): string {
  return randomBase62(ID_LENGTH, random);
}

/**
 * Makes the text of a key with a fresh secret of 256 bits and, unless one is given, a fresh id of 95 bits.
 *
 * @param random a source of that many unpredictable bytes, `randomBytes` of node:crypto but in tests
 * @throws RangeError for a prefix or id that no key can have, or a source that gives fewer bytes than asked
 */
export function makeKeyText(options: KeyTextOptions, random: (bytes: number) => Buffer): KeyText {
  const { prefix, environment, keyId } = options;
  if (keyId !== undefined && !KEY_ID.test(keyId)) throw new RangeError('Not the id of a key');
  const id = keyId?.slice('key_'.length) ?? randomId(random);
  const bytes = random(SECRET_BYTES);
  if (bytes.length !== SECRET_BYTES) throw new RangeError('The source gave too few random bytes');
  const body = `${prefix}_${environment}_${id}_${base62OfBytes(bytes, SECRET_LENGTH)}`;
  const made = parseKeyText(body + checksumOf(body));
  if (made === null) throw new RangeError('Use a prefix of 1 to 12 lower-case letters or digits');
  return made;
}
