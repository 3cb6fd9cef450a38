import { createHash } from 'node:crypto';
import { KEY_TEXT } from '#contracts';

/** What may be said of a key without saying the key. */
export interface KeyDescription {
  /** Public id that the key's text carries; null where it is not one of Keyward's making. */
  keyId: string | null;
  /** Tells two secrets of one key apart: 8 hexadecimal digits of the text's SHA-256. */
  secretVersion: string;
}

/** Describes a key for people and monitoring. */
export function describeKey(text: string): KeyDescription {
  const id = KEY_TEXT.exec(text)?.[0] === text ? text.split('_')[2] : undefined;
  return {
    keyId: id === undefined ? null : `key_${id}`,
    secretVersion: createHash('sha256').update(text).digest('hex').slice(0, 8),
  };
}
