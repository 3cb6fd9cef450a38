import type { Grant, Policy, RateLimit, Service } from '#contracts';
import { isWide, WIDEST_PREFIX } from './ip-ranges.js';
import type { PolicyFault } from './policy.js';
import { covers } from './scopes.js';

/** A service as far as it rules keys. */
export type Ruling = Pick<Service, 'slug' | 'policy'>;

/** What of a key policies rule, besides how it is asked for. */
export interface RuledSettings {
  grants: readonly Grant[];
  expiresAtMs: number | null;
  rateLimits: readonly RateLimit[];
  ipAllowlist: readonly string[];
}

/**
 * How a key as it is breaks the policies of the services that it is granted for: it breaks one where it could not be given
 * these settings now. Pointers are into the key.
 *
 * @param services those that rule; of other grants nothing is said
 */
export function keyFaults(
  settings: RuledSettings,
  services: readonly Ruling[],
  nowMs: number,
): PolicyFault[] {
  return [
    ...grantableFaults(settings.grants, services),
    ...expiryFaults(settings.expiresAtMs, services, nowMs),
    ...rateLimitFaults(settings.rateLimits, services),
    ...addressFaults(settings.ipAllowlist, services),
  ];
}

/**
 * Scopes that the policy of their service does not let anyone grant. A wildcard is granted only where one at least as wide
 * is grantable.
 *
 * @param held grants that the key has already: what they cover is not granted anew
 */
export function grantableFaults(
  grants: readonly Grant[],
  services: readonly Ruling[],
  held: readonly Grant[] = [],
): PolicyFault[] {
  return grants.flatMap(({ service, scopes }, index) => {
    const grantable = services.find((one) => one.slug === service)?.policy.grantableScopes ?? null;
    if (grantable === null) return [];
    const allowed = [...grantable, ...held.flatMap((one) => scopesFor(one, service))];
    const detail = `${service} lets nobody grant this; it allows ${grantable.join(', ') || 'none'}`;
    return scopes.flatMap((scope, place) =>
      allowed.some((wide) => covers(wide, scope))
        ? []
        : [{ pointer: `/grants/${index}/scopes/${place}`, detail: detail.slice(0, 500) }],
    );
  });
}

/** Whether an end, null for never, is one that the policies let a key have now. */
export function expiryFaults(
  expiresAtMs: number | null,
  services: readonly Ruling[],
  nowMs: number,
): PolicyFault[] {
  return services.flatMap(({ slug, policy }) => {
    const latestMs = nowMs + (policy.maxLifetimeSeconds ?? Infinity) * 1_000;
    const isRequired = policy.expiryRequired || policy.maxLifetimeSeconds !== null;
    if (expiresAtMs === null ? !isRequired : expiresAtMs <= latestMs) return [];
    const until = Number.isFinite(latestMs)
      ? `, at the latest ${new Date(latestMs).toISOString()}`
      : '';
    return [{ pointer: '/expiresAt', detail: `${slug} requires an expiry${until}` }];
  });
}

/** Where a key lacks a limit that a policy bounds, or has it with a higher rate. */
export function rateLimitFaults(
  rateLimits: readonly RateLimit[],
  services: readonly Ruling[],
): PolicyFault[] {
  return services.flatMap(({ slug, policy }) =>
    policy.maxRateLimits.flatMap((most) => {
      const index = rateLimits.findIndex((one) => one.name === most.name);
      const text = boundText(most);
      if (index < 0) {
        const detail = `${slug} requires a limit named ${most.name} of ${text}`;
        return [{ pointer: '/rateLimits', detail }];
      }
      if (isWithin(rateLimits[index]!, most)) return [];
      return [{ pointer: `/rateLimits/${index}`, detail: `${slug} allows ${text}` }];
    }),
  );
}

/** Where a policy requires a list of addresses and there is none, or a range of it is too wide to bound anything. */
export function addressFaults(
  ipAllowlist: readonly string[],
  services: readonly Ruling[],
): PolicyFault[] {
  if (ipAllowlist.length > 0 && !ipAllowlist.some(isWide)) return [];
  const { ipv4, ipv6 } = WIDEST_PREFIX;
  return services
    .filter(({ policy }) => policy.ipAllowlistRequired)
    .map(({ slug }) => ({
      pointer: '/ipAllowlist',
      detail: `${slug} requires a list of addresses, none wider than /${ipv4} or, in IPv6, /${ipv6}`,
    }));
}

/** What a limit may be under a maximum, in words. */
export function boundText({ limit, windowSeconds, sharedBy }: RateLimit): string {
  const shared = sharedBy === undefined ? '' : `, shared by the ${sharedBy}`;
  return `at most ${limit} in ${windowSeconds} s${shared}`;
}

/**
 * Whether neither the rate of a limit nor what it lets through at once is above that of another, nor does it hold for each key
 * alone where the other is shared. Exact: the products stay below 2^53.
 */
export function isWithin(limit: RateLimit, most: RateLimit): boolean {
  return (
    (most.sharedBy === undefined || limit.sharedBy === most.sharedBy) &&
    limit.limit <= most.limit &&
    limit.limit * most.windowSeconds <= most.limit * limit.windowSeconds
  );
}

/**
 * The widest limit that is within two of one name, except that its window is whole seconds: the fewer units, in a window so long
 * that neither rate is exceeded, and shared where one of them is.
 */
export function strictest(one: RateLimit, other: RateLimit): RateLimit {
  const limit = Math.min(one.limit, other.limit);
  const windowFor = (bound: RateLimit) => Math.ceil((limit * bound.windowSeconds) / bound.limit);
  const sharedBy = one.sharedBy ?? other.sharedBy;
  return {
    name: one.name,
    limit,
    windowSeconds: Math.max(windowFor(one), windowFor(other)),
    ...(sharedBy !== undefined && { sharedBy }),
  };
}

/** Defaults that are within the maxima of their own policy: of one that is above, the maximum itself. */
export function boundDefaults({
  defaultRateLimits,
  maxRateLimits,
}: Pick<Policy, 'defaultRateLimits' | 'maxRateLimits'>): RateLimit[] {
  return defaultRateLimits.map((limit) => {
    const most = maxRateLimits.find((one) => one.name === limit.name);
    return most === undefined || isWithin(limit, most) ? limit : most;
  });
}

function scopesFor(grant: Grant, service: string): string[] {
  return grant.service === service ? grant.scopes : [];
}
