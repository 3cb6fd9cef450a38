import { NotFoundException } from '@nestjs/common';
import { Not } from 'typeorm';
import type { NewChange } from '../changes/change-log.js';
import type { TouchedKey } from '../changes/marker.js';
import { lockKey, servicesOf, type LockedKey } from '../keys/find-key.js';
import { keyChange, touchedOf, updateKey } from '../keys/key-change.js';
import { SecretEntity } from '../keys/secret.entity.js';
import { lastSecrets } from '../keys/secrets.js';
import type { Work } from '../keys/work.js';
import { invalid, type BadItem, type ItemFault, type KnownItem } from './import-item.js';
import { hintOf, insertHashes, NO_DIGEST, type NewKey } from './import-rows.js';
import type { OpenImport } from './import-store.js';

/** An item that gave a key a new secret. */
export interface RotatedItem extends KnownItem {
  change: NewChange;
  touched: TouchedKey;
}

/**
 * Gives a key the secret that it was given at its source. The one before goes on until then, never beyond the key's own end; any
 * earlier one is gone. One that the key has already changes nothing, and one that is not known to be later than all that it had is none.
 */
export async function rotateImported(
  work: Work,
  item: NewKey,
  open: OpenImport,
): Promise<RotatedItem | KnownItem | BadItem> {
  const { index, given, isWeak } = item;
  const known: KnownItem = { index, item: given.item, keyId: item.keyId, isWeak };
  const locked = await lockKey(work, item.keyId).catch(notFound);
  const fault = locked === null ? noKey() : faultOf(work, locked, { item, open });
  if (locked === null || fault !== null) return { index, item: given.item, fault: fault! };
  const holder = await holderOf(work, item.lookup);
  if (holder === item.keyId) return known;
  if (holder !== null) return { index, item: given.item, fault: taken() };
  const numberFault = await numberFaultOf(work, item);
  if (numberFault !== null) return { index, item: given.item, fault: numberFault };
  return { ...known, ...(await rotate(work, { item, open }, locked)) };
}

async function rotate(
  work: Work,
  { item, open }: { item: NewKey; open: OpenImport },
  { key, grants }: LockedKey,
): Promise<{ change: NewChange; touched: TouchedKey }> {
  const { manager, material } = work;
  const at = new Date(material.now());
  const { keyId, given } = item;
  const [current] = await lastSecrets(work, keyId);
  const { number: replaced } = current!;
  const number = replaced + 1;
  const untilMs = Date.parse(given.supersedes!.until);
  const validUntil = new Date(Math.min(untilMs, key.expiresAt?.getTime() ?? Infinity));
  const end = { validUntil, ended: validUntil <= at };
  await manager.update(SecretEntity, { keyId, number: replaced }, end);
  await manager.delete(SecretEntity, { keyId, number: Not(replaced) });
  await manager.insert(SecretEntity, {
    ...{ keyId, number, digest: NO_DIGEST, pepperVersion: 0, portable: null },
    ...{ ...hintOf(given), createdAt: at, validUntil: null, ended: false },
  });
  await insertHashes(work, open, [{ ...item, number }]);
  await keepMarks(work, open, item);
  const touched = touchedOf(await updateKey(work, key, {}));
  const change = keyChange(work, 'key.rotated', {
    key: touched,
    services: servicesOf(grants),
    before: { secret: replaced },
    after: { secret: number, previousValidUntil: validUntil, import: open.row.id },
  });
  return { change, touched };
}

/** Why a key is not given this secret, or null. */
function faultOf(
  { material }: Work,
  { key, grants }: LockedKey,
  { item, open: { row } }: { item: NewKey; open: OpenImport },
): ItemFault | null {
  if (item.isSalted) return invalid('/supersedes', 'Only a hash without a salt is added to a key');
  const services = servicesOf(grants);
  if (services.length !== 1 || services[0] !== row.service)
    return conflict('/id', `The key is not one of ${row.service} alone; rotate it here`);
  if (row.mode === 'cutover')
    return conflict('/supersedes', 'The platform alone counts; rotate the key here');
  const isOver = key.expiresAt !== null && key.expiresAt.getTime() <= material.now();
  if (key.state === 'revoked' || isOver)
    return conflict('/id', 'The key has ended; no secret brings it back');
  return null;
}

/** The key that a look-up without a salt finds, or null. */
async function holderOf({ manager }: Work, lookup: Buffer): Promise<string | null> {
  const text = 'SELECT key_id FROM keys.legacy_secret WHERE lookup = $1 AND NOT salted';
  const [row] = await manager.query<{ key_id: string }[]>(text, [lookup]);
  return row?.key_id ?? null;
}

/** Why a secret is not known to be later than those that the key had of its source, or null. */
async function numberFaultOf(
  { manager }: Work,
  { keyId, given }: NewKey,
): Promise<ItemFault | null> {
  const { number } = given.supersedes!;
  const text = 'SELECT source_number AS last FROM keys.key WHERE id = $1';
  const [row] = await manager.query<{ last: number | null }[]>(text, [keyId]);
  const last = row?.last ?? null;
  if (last === null || (number !== undefined && number > last)) return null;
  const has = `the key has secret ${last} of its source`;
  return conflict(
    '/supersedes/number',
    number === undefined
      ? `Give number: ${has}, and only a later one is taken`
      : `No earlier secret is brought back: ${has}; give the number of a later one`,
  );
}

/** Keeps what outlives the secret: that the import has had one, and its number. */
async function keepMarks(
  { manager }: Work,
  { row }: OpenImport,
  { keyId, given }: NewKey,
): Promise<void> {
  await manager.query(
    'UPDATE keys.import SET has_secrets = true WHERE id = $1 AND NOT has_secrets',
    [row.id],
  );
  const { number } = given.supersedes!;
  if (number === undefined) return;
  await manager.query('UPDATE keys.key SET source_number = $2 WHERE id = $1', [keyId, number]);
}

function notFound(error: unknown): null {
  if (error instanceof NotFoundException) return null;
  throw error;
}

function noKey(): ItemFault {
  return invalid('/id', 'There is no key with this id');
}

function taken(): ItemFault {
  const detail = 'Another key of this service has this hash';
  return { code: 'ALREADY_EXISTS', pointer: '/hash', detail };
}

function conflict(pointer: string, detail: string): ItemFault {
  return { code: 'CONFLICT', pointer, detail };
}
