import { hash } from 'node:crypto';
import { deriveKey } from '#key-core';
import { seal, unseal } from '../idempotency/seal.js';

/** A secret of a key, as its row names it. */
export interface SecretPlace {
  keyId: string;
  number: number;
}

/**
 * What an export can make a digest of for a service that has no pepper of ours: SHA-256 of the key's text, sealed for its row. A
 * database's reader learns nothing from it, and its writer cannot bring one in.
 */
export function sealPortable(
  pepper: Buffer,
  text: string,
  { place, random }: { place: SecretPlace; random: (bytes: number) => Buffer },
): Buffer {
  const digest = hash('sha256', text, 'base64');
  return seal(digest, { key: keyOf(pepper), place: textOf(place), random });
}

/** SHA-256 of the text of the secret of a row, or null where it was not sealed for it. */
export function openPortable(pepper: Buffer, sealed: Buffer, place: SecretPlace): Buffer | null {
  const digest = unseal(sealed, { key: keyOf(pepper), place: textOf(place) });
  return digest === null ? null : Buffer.from(digest, 'base64');
}

function keyOf(pepper: Buffer): Buffer {
  return deriveKey(pepper, 'portable/seal/v1');
}

function textOf({ keyId, number }: SecretPlace): string {
  return `portable\0${keyId}\0${number}`;
}
