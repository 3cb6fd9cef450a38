import { randomBytes } from 'node:crypto';
import { digestKey, makeKeyText, parsePeppers, type KeyRecord } from '#key-core';
import { PresentedTexts } from './presented-texts.js';

const peppers = parsePeppers(`1:${randomBytes(32).toString('base64')}`, undefined);
const made = () => makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);

/** A record of a key whose only secret is this text. */
function recordOf({ keyId, text }: { keyId: string; text: string }, number = 1): KeyRecord {
  const digest = digestKey(peppers.get(1)!, text);
  const secret = { number, digest, pepperVersion: 1, issuedAtMs: 0, validUntilMs: null };
  return {
    keyId,
    version: 1,
    consumer: 'consumer-1',
    consumerEnabled: true,
    environment: 'live',
    state: 'active',
    notBeforeMs: null,
    expiresAtMs: null,
    grants: [],
    rateLimits: [],
    quota: null,
    ipAllowlist: [],
    metadata: {},
    importId: null,
    secrets: [{ ...secret, digest: secret.digest.toString('base64'), isEnded: false }],
  };
}

describe('a text that opened a key before', () => {
  const texts = new PresentedTexts(peppers);
  const key = made();
  const record = recordOf(key);
  const secretOf = (text: string, of: KeyRecord | null) => {
    const read = texts.read(text);
    return read && texts.secretIn(of, read);
  };

  it('opens it again', () => {
    for (let i = 0; i < 3; i += 1) expect(secretOf(key.text, record)).toBe(record.secrets[0]);
  });

  it('opens no record but that very one: any other is compared anew', () => {
    expect(secretOf(key.text, recordOf(made()))).toBeNull();
    expect(secretOf(key.text, { ...record, secrets: [] })).toBeNull();
    expect(secretOf(key.text, null)).toBeNull();
    const rotated = recordOf(key, 2);
    expect(secretOf(key.text, rotated)?.number).toBe(2);
    expect(secretOf(key.text, { ...record, secrets: recordOf(made()).secrets })).toBeNull();
  });

  it('helps no other text, nor one that opened nothing', () => {
    const other = made();
    for (let i = 0; i < 3; i += 1) expect(secretOf(other.text, record)).toBeNull();
    expect(texts.read(`${key.text}x`)).toBeNull();
    expect(texts.read(key.text.slice(1))).toBeNull();
    expect(texts.read('x'.repeat(85))).toBeNull();
  });
});
