import { ConflictException } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { ServiceEntity } from './service.entity.js';
import { isOfCatalogue } from './service-policy.js';

/**
 * Refuses a catalogue under which keys that are not revoked would hold scopes that there are not. The service's row must be
 * locked, so that no key is granted one meanwhile.
 *
 * @throws ConflictException saying how many keys
 */
export async function refuseScopesInUse(
  manager: EntityManager,
  { slug, scopes: before }: ServiceEntity,
  after: string[],
): Promise<void> {
  if (before.every((scope) => after.includes(scope))) return;
  const used = await manager.query<{ scope: string }[]>(USED_SCOPES, [slug]);
  const orphans = used.map(({ scope }) => scope).filter((scope) => !isOfCatalogue(scope, after));
  if (orphans.length === 0) return;
  const [{ count }] = await manager.query<[{ count: number }]>(COUNT_KEYS, [slug, orphans]);
  const named = orphans.slice(0, 5).join(', ');
  throw new ConflictException(
    `${count} ${count === 1 ? 'key holds' : 'keys hold'} ${named}; change or revoke them first`,
    { errorCode: 'CONFLICT' },
  );
}

const USED_SCOPES = `
  SELECT DISTINCT unnest(g.scopes) AS scope FROM keys.key_grant g JOIN keys.key k ON k.id = g.key_id
  WHERE g.service = $1 AND k.state <> 'revoked' ORDER BY 1`;

const COUNT_KEYS = `
  SELECT count(*)::integer AS count FROM keys.key_grant g JOIN keys.key k ON k.id = g.key_id
  WHERE g.service = $1 AND k.state <> 'revoked' AND g.scopes && $2`;
