import { In } from 'typeorm';
import { MAX_RATE_LIMITS, type Grant, type Policy, type RateLimit } from '#contracts';
import {
  addressFaults,
  expiryFaults,
  grantableFaults,
  grantFaults,
  rateLimitFaults,
  resolveLifetime,
  strictest,
  type PolicyFault,
  type RuledSettings,
  type WantedLifetime,
} from '#key-core';
import { invalidField, ProblemException } from '#server';
import { maySee } from '../access/principal.js';
import { ServiceEntity } from '../catalog/service.entity.js';
import type { Work } from './work.js';

/**
 * The services of some grants, in their order, locked so that neither catalogue nor policy changes meanwhile.
 *
 * @param held grants that the key has already
 * @throws ProblemException where a service does not exist or is not the principal's, or has no such scope to grant
 */
export async function lockServices(
  work: Work,
  grants: readonly Grant[],
  held: readonly Grant[] = [],
): Promise<ServiceEntity[]> {
  const found = await lockRuling(work, grants);
  const services = found.filter(({ slug }) => maySee(work.by, [slug]));
  refuseFaults([...grantFaults(grants, services), ...grantableFaults(grants, services, held)]);
  return grants.map((grant) => services.find((one) => one.slug === grant.service)!);
}

/** Services whose policies rule a key with some grants, by slug and locked against change. */
export function lockRuling({ manager }: Work, grants: readonly Grant[]): Promise<ServiceEntity[]> {
  return manager.find(ServiceEntity, {
    where: { slug: In(grants.map((one) => one.service)) },
    order: { slug: 'ASC' },
    lock: { mode: 'pessimistic_read' },
  });
}

/** Services that rule each setting of a key: all of them where it is set, those that are new to it otherwise. */
export type Ruled = Record<'expiresAt' | 'rateLimits' | 'ipAllowlist', readonly ServiceEntity[]>;

/** @throws ProblemException POLICY_VIOLATION where settings break the policies that rule them */
export function refuseSettings(
  settings: Omit<RuledSettings, 'grants'>,
  ruled: Ruled,
  nowMs: number,
): void {
  refuseFaults([
    ...expiryFaults(settings.expiresAtMs, ruled.expiresAt, nowMs),
    ...rateLimitFaults(settings.rateLimits, ruled.rateLimits),
    ...addressFaults(settings.ipAllowlist, ruled.ipAllowlist),
  ]);
}

/** The end that a key gets under the policies of its services. @throws ProblemException POLICY_VIOLATION */
export function lifetimeOf(
  wanted: WantedLifetime,
  policies: readonly Policy[],
  nowMs: number,
): Date | null {
  const lifetime = resolveLifetime(wanted, policies, nowMs);
  if (Array.isArray(lifetime)) throw refusal(lifetime);
  return lifetime.expiresAtMs === null ? null : new Date(lifetime.expiresAtMs);
}

/** @throws ProblemException where a key would never be valid */
export function refuseEmptyLife(notBefore: Date | null, expiresAt: Date | null): void {
  if (notBefore === null || expiresAt === null || notBefore < expiresAt) return;
  throw invalidField('/notBefore', `Use a time before the key expires, ${expiresAt.toISOString()}`);
}

/**
 * Limits of a key that names none: those of all its services; of two with one name what is within both.
 *
 * @throws ProblemException POLICY_VIOLATION where they are more than one key can carry
 */
export function defaultRateLimits(policies: readonly Policy[]): RateLimit[] {
  const byName = new Map<string, RateLimit>();
  for (const limit of policies.flatMap((one) => one.defaultRateLimits)) {
    const other = byName.get(limit.name);
    byName.set(limit.name, other === undefined ? limit : strictest(limit, other));
  }
  if (byName.size > MAX_RATE_LIMITS) {
    const detail = `Name the limits, ${MAX_RATE_LIMITS} at most: by default these services give a key ${byName.size}, ${[...byName.keys()].join(', ')}`;
    throw refusal([{ pointer: '/rateLimits', detail }]);
  }
  return [...byName.values()];
}

/** @throws ProblemException where there are faults */
export function refuseFaults(faults: readonly PolicyFault[]): void {
  if (faults.length > 0) throw refusal(faults);
}

/** Faults as they are answered: as an invalid request where one of them is that under any policy. */
export function refusal(faults: readonly PolicyFault[]): ProblemException {
  const errors = faults.map(({ pointer, code = 'POLICY_VIOLATION' as const, detail }) => ({
    ...{ pointer, code, detail },
  }));
  const code = errors.every((one) => one.code === 'POLICY_VIOLATION')
    ? 'POLICY_VIOLATION'
    : 'INVALID_REQUEST';
  const detail = errors.map((one) => `${one.pointer}: ${one.detail}`).join('; ');
  return new ProblemException(code, detail, { errors: errors.slice(0, 20) });
}

/** A time in milliseconds since 1970; null stays null. */
export function msOf(time: Date | null): number | null {
  return time === null ? null : time.getTime();
}
