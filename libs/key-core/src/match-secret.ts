import { DUMMY_DIGEST, sameDigest } from './digest.js';
import { CURRENT_PEPPER, UnknownPepper } from './peppers.js';
import type { KeyRecord, SecretRecord } from './record.js';

/**
 * The secret of the record whose digest is that of the presented text, or null. Every secret is compared, in constant time,
 * whichever matches; where there is no record a dummy is, after the same hashing.
 *
 * @param digestFor digest of the presented text under a version of the pepper, undefined where it is not at hand; asked once
 *   a version, and for {@link CURRENT_PEPPER} where there is no record
 * @throws UnknownPepper where no secret matches and some could not be compared: neither yes nor no is known
 */
export function matchSecret(
  record: KeyRecord | null,
  digestFor: (pepperVersion: number) => Buffer | undefined,
): SecretRecord | null {
  if (record === null || record.secrets.length === 0) {
    sameDigest(digestFor(CURRENT_PEPPER) ?? DUMMY_DIGEST, DUMMY_DIGEST);
    return null;
  }
  const digests = new Map<number, Buffer | undefined>();
  let match: SecretRecord | null = null;
  let missing: number | null = null;
  for (const secret of record.secrets) {
    const version = secret.pepperVersion;
    if (!digests.has(version)) digests.set(version, digestFor(version));
    const digest = digests.get(version);
    if (digest === undefined) missing = version;
    else if (sameDigest(digest, Buffer.from(secret.digest, 'base64'))) match = secret;
  }
  if (match === null && missing !== null) throw new UnknownPepper(missing);
  return match;
}
