import { digestKey, matchSecret, type KeyRecord, type Peppers, type SecretRecord } from '#key-core';
import type { PresentedKey } from './foreign-keys.js';

/**
 * The secret of a record that a key's text is, or null; takes as long whether there is a record or not. Of a text that was
 * made certain before only the secret's number is looked for.
 *
 * @throws UnknownPepper where it cannot be compared
 */
export function secretIn(
  record: KeyRecord | null,
  key: Pick<PresentedKey, 'text' | 'secretNumber'>,
  peppers: Peppers,
): SecretRecord | null {
  const { secretNumber } = key;
  if (secretNumber !== undefined)
    return record?.secrets.find((one) => one.number === secretNumber) ?? null;
  return matchSecret(record, (version) => {
    const pepper = peppers.get(version);
    return pepper && digestKey(pepper, key.text);
  });
}
