import { createHmac } from 'node:crypto';
import { deriveKey } from '#key-core';
import { seal, unseal } from '../idempotency/seal.js';

/** What keeps imported hashes from whoever reads or writes the database; made from a pepper, and as lasting as it. */
export interface ImportSecrets {
  /** Makes the digests that keys are found by. */
  lookupKey: Buffer;
  sealKey: Buffer;
}

/** What a key is found by: the digest that was kept of it, or where that has a salt what says which key it is. */
export type Trace = { digest: Buffer } | { locator: string };

const known = new WeakMap<Buffer, ImportSecrets>();

/** The secrets of imports that were made under a pepper. */
export function importSecretsOf(pepper: Buffer): ImportSecrets {
  let secrets = known.get(pepper);
  if (secrets === undefined) {
    secrets = {
      lookupKey: deriveKey(pepper, 'import/lookup/v1'),
      sealKey: deriveKey(pepper, 'import/seal/v1'),
    };
    known.set(pepper, secrets);
  }
  return secrets;
}

/** The keyed digest that a key of a service is found by: 32 bytes, of no use without the pepper. */
export function lookupOf({ lookupKey }: ImportSecrets, service: string, trace: Trace): Buffer {
  const named =
    'digest' in trace ? ['digest', trace.digest.toString('base64')] : ['locator', trace.locator];
  return createHmac('sha256', lookupKey)
    .update(JSON.stringify([service, ...named]))
    .digest();
}

/** Keyed digest of what was asked for under a name, to tell a repetition from something else. */
export function requestDigestOf({ lookupKey }: ImportSecrets, request: string): Buffer {
  return createHmac('sha256', lookupKey).update(`request\0${request}`).digest();
}

/** Where a sealed hash belongs: it opens nowhere else. */
export interface HashPlace {
  importId: string;
  keyId: string;
  lookup: Buffer;
}

/** Seals a hash for its row. */
export function sealHash(
  { sealKey: key }: ImportSecrets,
  hash: string,
  { place, random }: { place: HashPlace; random: (bytes: number) => Buffer },
): Buffer {
  return seal(hash, { key, place: textOf(place), random });
}

/** The hash of a row, or null where it was not sealed here for this row. */
export function openHash(
  { sealKey: key }: ImportSecrets,
  sealed: Buffer,
  place: HashPlace,
): string | null {
  return unseal(sealed, { key, place: textOf(place) });
}

function textOf({ importId, keyId, lookup }: HashPlace): string {
  return `hash\0${importId}\0${keyId}\0${lookup.toString('base64')}`;
}
