import type { Grant, Key, PatchKeyBody } from '#contracts';
import { ProblemException } from '#server';
import { differencesOf } from '../catalog/differences.js';
import type { ServiceEntity } from '../catalog/service.entity.js';
import type { Mutation } from '../changes/mutations.js';
import { checkKeyVersion, lockKey, refuseRevoked, servicesOf } from './find-key.js';
import { keyChange, quotaSetBy, settingsOf, touchedOf, updateKey } from './key-change.js';
import type { KeyEntity } from './key.entity.js';
import { KeyGrantEntity } from './key-grant.entity.js';
import { lifetimeOf, lockServices, msOf, refuseEmptyLife, refuseSettings } from './key-policy.js';
import { endWithKey } from './secrets.js';
import { showKey } from './show-key.js';
import type { Work } from './work.js';

/** Which key is to be changed, and how. */
export interface PatchOrder {
  id: string;
  body: PatchKeyBody;
  /** The `If-Match` header: without it a change is refused. */
  ifMatch: string | undefined;
}

/**
 * Changes what was set of a key. A new expiry is bound by the policies as that of a new key is, counted from now, and ends an
 * old secret that would go on beyond it; a later one does not bring that back.
 *
 * @throws ProblemException IF_MATCH_REQUIRED, VERSION_MISMATCH, INVALID_REQUEST or POLICY_VIOLATION
 * @throws ConflictException where the key is revoked
 */
export async function patchKey(
  work: Work,
  { id, body, ifMatch }: PatchOrder,
): Promise<Mutation<Key>> {
  const { manager, material } = work;
  const { key, grants } = await lockKey(work, id);
  if (ifMatch === undefined)
    throw new ProblemException('IF_MATCH_REQUIRED', 'Send the ETag of the key as If-Match');
  await checkKeyVersion(work, key, ifMatch);
  refuseRevoked(key);
  const nowMs = material.now();
  const nextGrants = body.grants ?? grants;
  const services = await lockServices(work, nextGrants, grants);
  const added = services.filter((one) => !servicesOf(grants).includes(one.slug));
  const columns = columnsOf(key, body, { services, added, nowMs });
  if (body.grants) await replaceGrants(work, id, body.grants);
  const patched = await updateKey(work, key, columns);
  if (patched.expiresAt !== null) await endWithKey(work, id, patched.expiresAt);
  const change = keyChange(work, 'key.updated', {
    key: touchedOf(patched),
    services: [...new Set([...servicesOf(grants), ...servicesOf(nextGrants)])],
    ...differencesOf(
      { ...settingsOf(key), grants },
      { ...settingsOf(patched), grants: nextGrants },
    ),
  });
  const result = await showKey(manager, patched.id, nowMs);
  return { result, changes: [change], touched: [touchedOf(patched)] };
}

async function replaceGrants({ manager }: Work, keyId: string, grants: Grant[]): Promise<void> {
  await manager.delete(KeyGrantEntity, { keyId });
  await manager.insert(
    KeyGrantEntity,
    grants.map((grant) => ({ ...grant, keyId })),
  );
}

interface Rulers {
  services: ServiceEntity[];
  /** Those that the key was not granted for before. */
  added: ServiceEntity[];
  nowMs: number;
}

/** What is set is ruled by all services; what stays as it was by those that are new, so that an old fault hinders nothing else. */
function columnsOf(
  key: KeyEntity,
  body: PatchKeyBody,
  { services, added, nowMs }: Rulers,
): Partial<KeyEntity> {
  const { grants: _, expiresAt: wantedEnd, expiresInSeconds, notBefore: start, ...named } = body;
  const { quota, ...plain } = named;
  const notBefore = start === undefined ? key.notBefore : instantOf(start);
  const isEndNamed = wantedEnd !== undefined || expiresInSeconds !== undefined;
  const policies = services.map((one) => one.policy);
  const expiresAt = isEndNamed
    ? lifetimeOf({ expiresAt: wantedEnd, expiresInSeconds }, policies, nowMs)
    : key.expiresAt;
  refuseEmptyLife(notBefore, expiresAt);
  const { rateLimits = key.rateLimits, ipAllowlist = key.ipAllowlist } = body;
  const ruled = {
    expiresAt: isEndNamed ? [] : added,
    rateLimits: body.rateLimits ? services : added,
    ipAllowlist: body.ipAllowlist ? services : added,
  };
  refuseSettings({ expiresAtMs: msOf(expiresAt), rateLimits, ipAllowlist }, ruled, nowMs);
  return {
    ...(plain as Partial<KeyEntity>),
    ...(quota !== undefined && { quota: quotaSetBy(quota, key.version + 1) }),
    notBefore,
    expiresAt,
  };
}

function instantOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}
