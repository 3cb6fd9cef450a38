import { MoreThan } from 'typeorm';
import { digestKey, type KeyText } from '#key-core';
import { sealPortable } from './portable.js';
import { SecretEntity } from './secret.entity.js';
import type { Work } from './work.js';

/** Stores a secret as the key's current one: its digest, the pepper that made it, and what people tell it apart by. */
export async function addSecret(
  { manager, material }: Work,
  text: KeyText,
  { number, atMs }: { number: number; atMs: number },
): Promise<void> {
  const { version, bytes } = material.peppers.current;
  const place = { keyId: text.keyId, number };
  await manager.insert(SecretEntity, {
    ...place,
    digest: digestKey(bytes, text.text),
    pepperVersion: version,
    portable: sealPortable(bytes, text.text, { place, random: material.random }),
    prefix: text.prefix,
    last4: text.last4,
    createdAt: new Date(atMs),
    validUntil: null,
    ended: false,
  });
}

/** Whether a secret that was replaced is over. */
export function hasEnded(
  { ended, validUntil }: Pick<SecretEntity, 'ended' | 'validUntil'>,
  nowMs: number,
): boolean {
  return ended || (validUntil !== null && validUntil.getTime() <= nowMs);
}

/** Lets no secret that was replaced go on beyond the end of its key. */
export async function endWithKey({ manager }: Work, keyId: string, expiresAt: Date): Promise<void> {
  await manager.update(
    SecretEntity,
    { keyId, validUntil: MoreThan(expiresAt) },
    { validUntil: expiresAt },
  );
}

/** The current secret of a key and, where it was rotated, the one before. */
export function lastSecrets({ manager }: Work, keyId: string): Promise<SecretEntity[]> {
  return manager.find(SecretEntity, { where: { keyId }, order: { number: 'DESC' }, take: 2 });
}
