import type { ImportItem } from '#contracts';
import {
  addressFaults,
  grantableFaults,
  grantFaults,
  rateLimitFaults,
  resolveLifetime,
} from '#key-core';
import type { ServiceEntity } from '../catalog/service.entity.js';
import { defaultRateLimits } from '../keys/key-policy.js';
import { invalid, type ItemFault } from './import-item.js';

/** How an item breaks the policy of its service, which rules it as it rules a key that is issued; null where it does not. */
export function settingsFault(
  given: ImportItem,
  service: ServiceEntity,
  nowMs: number,
): ItemFault | null {
  const { scopes, ipAllowlist, expiresAt, notBefore } = given;
  const grants = [{ service: service.slug, scopes }];
  const lifetime = resolveLifetime({ expiresAt }, [service.policy], nowMs);
  const faults = [
    ...grantFaults(grants, [service]),
    ...grantableFaults(grants, [service]),
    ...(Array.isArray(lifetime) ? lifetime : []),
    ...rateLimitFaults(rateLimitsOf(given, service), [service]),
    ...addressFaults(ipAllowlist, [service]),
  ];
  const first = faults[0];
  if (first !== undefined) {
    const pointer = first.pointer.replace(/^\/grants\/0\/scopes/, '/scopes');
    return first.code === undefined
      ? { code: 'POLICY_VIOLATION', pointer, detail: first.detail }
      : invalid(pointer, first.detail);
  }
  const isEmpty = notBefore !== undefined && expiresAt !== null && notBefore >= expiresAt;
  return isEmpty ? invalid('/notBefore', 'Use a time before the key expires') : null;
}

/** Limits of an item: its own, else those that the policy gives. */
export function rateLimitsOf(given: ImportItem, { policy }: ServiceEntity) {
  return given.rateLimits ?? defaultRateLimits([policy]);
}
