import {
  digestKey,
  matchSecret,
  type KeyRecord,
  type KeyText,
  type Peppers,
  type SecretRecord,
} from '#key-core';

/**
 * The secret of a record that a key's text is, or null; takes as long whether there is a record or not.
 *
 * @throws UnknownPepper where it cannot be compared
 */
export function secretIn(
  record: KeyRecord | null,
  key: KeyText,
  peppers: Peppers,
): SecretRecord | null {
  return matchSecret(record, (version) => {
    const pepper = peppers.get(version);
    return pepper && digestKey(pepper, key.text);
  });
}
