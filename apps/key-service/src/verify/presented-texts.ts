import { hash } from 'node:crypto';
import { parseKeyText, type KeyRecord, type Peppers, type SecretRecord } from '#key-core';
import type { PresentedKey } from './foreign-keys.js';
import { secretIn } from './presented-secret.js';
import type { Usual } from './usual.js';

const MAX_REMEMBERED = 50_000;
/** No key's text is longer: prefix 12, environment 4, id 16, secret 43, checksum 6, and three underscores. */
const MAX_LENGTH = 84;

/** A text was found to be this secret of this record. */
export interface Opened {
  keyId: string;
  record: KeyRecord;
  secret: SecretRecord;
  /** For the service that asked last. */
  usual: Usual | null;
}

/** A text with the shape of a key of ours. */
export interface OwnKey extends PresentedKey {
  /** SHA-256 of the text. */
  digest: string;
  /** What this very text opened before. */
  before: Opened | undefined;
}

/**
 * Reads what is presented, and finds the secret that it is. Texts that opened a key before are remembered, by their SHA-256
 * and never themselves, so that what is the same is neither read nor compared anew.
 *
 * That lets nothing pass which the comparison would not: who is found here has presented the very text that passed it, in
 * constant time, against the very record that the caller holds; with another record, as after every change, it is made anew.
 * How long the look-up takes depends on the SHA-256 of what is presented, which nobody can steer towards that of a text they
 * do not know; and the SHA-256 of 256 random bits is of no use to who reads it here.
 */
export class PresentedTexts {
  private readonly opened = new Map<string, Opened>();

  constructor(private readonly peppers: Peppers) {}

  /** What a text opened before; it still has to be the record of now. */
  openedBy(text: string): Opened | undefined {
    return text.length > MAX_LENGTH ? undefined : this.opened.get(digestOf(text));
  }

  /** Null for everything that is no text of a key of ours. */
  read(text: string): OwnKey | null {
    if (text.length > MAX_LENGTH) return null;
    const digest = digestOf(text);
    const before = this.opened.get(digest);
    const keyId = before?.keyId ?? parseKeyText(text)?.keyId;
    return keyId === undefined ? null : { keyId, text, digest, before };
  }

  /** The secret of a record that a presented key is, or null. @throws UnknownPepper where it cannot be compared */
  secretIn(record: KeyRecord | null, key: PresentedKey & Partial<OwnKey>): SecretRecord | null {
    const { digest, before } = key;
    if (record !== null && before?.record === record) return before.secret;
    const secret = secretIn(record, key, this.peppers);
    if (digest !== undefined && record !== null && secret !== null)
      this.remember(digest, { keyId: record.keyId, record, secret, usual: null });
    return secret;
  }

  /** The oldest go first. */
  private remember(digest: string, opened: Opened): void {
    this.opened.set(digest, opened);
    if (this.opened.size > MAX_REMEMBERED) this.opened.delete(this.opened.keys().next().value!);
  }
}

function digestOf(text: string): string {
  return hash('sha256', text, 'binary');
}
