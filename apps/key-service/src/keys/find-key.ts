import { ConflictException, NotFoundException } from '@nestjs/common';
import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import type { Grant } from '#contracts';
import { checkVersion } from '#server';
import { maySee, type Principal } from '../access/principal.js';
import { KeyEntity } from './key.entity.js';
import { KeyGrantEntity } from './key-grant.entity.js';
import type { Work } from './work.js';

/** A key whose row is locked until the end of the transaction, and its grants by service. */
export interface LockedKey {
  key: KeyEntity;
  grants: Grant[];
}

/** @throws NotFoundException where there is none, or it is not the principal's to see: the two look alike */
export async function findKey(
  manager: EntityManager,
  id: string,
  by: Principal,
): Promise<KeyEntity> {
  const select = manager.createQueryBuilder(KeyEntity, 'key').where('key.id = :id', { id });
  const key = await onlyVisible(select, by).getOne();
  if (!key) throw noKey(id);
  return key;
}

/** Locks a key that is to be changed. @throws NotFoundException as {@link findKey} */
export async function lockKey({ manager, by }: Work, id: string): Promise<LockedKey> {
  const select = manager.createQueryBuilder(KeyEntity, 'key').where('key.id = :id', { id });
  const key = await onlyVisible(select, by).setLock('pessimistic_write').getOne();
  if (!key) throw noKey(id);
  const rows = await manager.find(KeyGrantEntity, {
    where: { keyId: id },
    order: { service: 'ASC' },
  });
  const grants = rows.map(({ service, scopes }) => ({ service, scopes }));
  const isStillVisible = maySee(by, servicesOf(grants));
  if (!isStillVisible) throw noKey(id);
  return { key, grants };
}

/**
 * Refuses a change of a locked key whose `If-Match` names a state that somebody has changed since. The upgrade of a hash behind a
 * key's use is no such change: it raises the version, for the cache, but nothing that a reader was shown is another after it.
 *
 * @throws ProblemException VERSION_MISMATCH or INVALID_HEADER, as {@link checkVersion}
 */
export async function checkKeyVersion(
  { manager }: Work,
  { id, version }: KeyEntity,
  ifMatch: string | undefined,
): Promise<void> {
  if (ifMatch === undefined) return;
  const [last] = await manager.query<{ version: number }[]>(LAST_CHANGE, [id]);
  checkVersion(ifMatch, version, last?.version);
}

const LAST_CHANGE = `
  SELECT key_version AS version FROM keys.change_log
  WHERE target_type = 'key' AND target_id = $1 AND action <> 'key.hash_upgraded' AND key_version IS NOT NULL
  ORDER BY seq DESC LIMIT 1`;

/** Narrows a selection of keys to those whose grants are all within the principal's services. */
export function onlyVisible(
  select: SelectQueryBuilder<KeyEntity>,
  by: Principal,
): SelectQueryBuilder<KeyEntity> {
  if (by.services === null) return select;
  return select.andWhere(
    'NOT EXISTS (SELECT FROM keys.key_grant g WHERE g.key_id = key.id AND g.service <> ALL(:mine))',
    { mine: by.services },
  );
}

/** Slugs of the services of some grants. */
export function servicesOf(grants: readonly Grant[]): string[] {
  return grants.map((one) => one.service);
}

/** @throws ConflictException where the key is revoked: that is final */
export function refuseRevoked(key: KeyEntity): void {
  if (key.state !== 'revoked') return;
  const detail = 'The key is revoked for good; issue another one';
  throw new ConflictException(detail, { errorCode: 'CONFLICT' });
}

function noKey(id: string): NotFoundException {
  return new NotFoundException(`There is no key ${id}`, { errorCode: 'NOT_FOUND' });
}
