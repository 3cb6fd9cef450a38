import { MAX_LIFETIME_SECONDS, type Grant, type Policy, type Service } from '#contracts';
import { covers } from './scopes.js';

const SCOPES_NAMED = 10;

/** A rule that a request breaks: where in its body (RFC 6901), and what would be right. */
export interface PolicyFault {
  pointer: string;
  detail: string;
  /** Where it is no policy that forbids this. */
  code?: 'INVALID_VALUE';
}

/** The expiry a request names: a time, null for none, or how long from now. At most one of the two. */
export interface WantedLifetime {
  expiresAt?: string | null | undefined;
  expiresInSeconds?: number | undefined;
}

/**
 * When a new key ends under the policies of all its services, the strictest of which holds: the shortest longest life, the
 * shortest default, an expiry as soon as one requires it or bounds the life. No key with an expiry gets more than
 * `MAX_LIFETIME_SECONDS`.
 *
 * @returns the end, null for never; or what is wrong with what was asked for
 */
export function resolveLifetime(
  wanted: WantedLifetime,
  policies: readonly Policy[],
  nowMs: number,
): { expiresAtMs: number | null } | PolicyFault[] {
  const { expiresAt, expiresInSeconds } = wanted;
  const maxSeconds = Math.min(
    MAX_LIFETIME_SECONDS,
    ...policies.map((one) => one.maxLifetimeSeconds ?? MAX_LIFETIME_SECONDS),
  );
  const latestMs = nowMs + maxSeconds * 1_000;
  if (expiresInSeconds !== undefined) {
    if (expiresInSeconds >= 1 && expiresInSeconds <= maxSeconds)
      return { expiresAtMs: nowMs + expiresInSeconds * 1_000 };
    return [{ pointer: '/expiresInSeconds', detail: `Use 1 to ${maxSeconds} seconds` }];
  }
  if (expiresAt === undefined) {
    const defaults = policies.map((one) => one.defaultLifetimeSeconds);
    return { expiresAtMs: nowMs + Math.min(maxSeconds, ...defaults) * 1_000 };
  }
  if (expiresAt === null) return resolveNever(policies, latestMs);
  const expiresAtMs = Date.parse(expiresAt);
  if (expiresAtMs > nowMs && expiresAtMs <= latestMs) return { expiresAtMs };
  const detail = `Use a time after now, ${new Date(nowMs).toISOString()}, ${untilText(latestMs)}`;
  const fault = { pointer: '/expiresAt', detail };
  return [expiresAtMs > latestMs ? fault : { ...fault, code: 'INVALID_VALUE' }];
}

/**
 * How long the old secret goes on after a rotation, under the policies of all the key's services: the shortest maximum and
 * the shortest default hold.
 */
export function resolveOverlap(
  overlapSeconds: number | undefined,
  policies: readonly Policy[],
): { seconds: number } | PolicyFault[] {
  const max = Math.min(MAX_LIFETIME_SECONDS, ...policies.map((one) => one.maxOverlapSeconds));
  if (overlapSeconds === undefined) {
    return { seconds: Math.min(max, ...policies.map((one) => one.defaultOverlapSeconds)) };
  }
  if (overlapSeconds >= 0 && overlapSeconds <= max) return { seconds: overlapSeconds };
  return [{ pointer: '/overlapSeconds', detail: `Use 0 to ${max} seconds` }];
}

/**
 * What is wrong with the grants of a create or change body. A scope may be granted where the service's catalogue holds it,
 * holds a wildcard above it, or, for a wildcard, holds something below it.
 *
 * @param services those of the grants that exist and that the caller may know of
 */
export function grantFaults(
  grants: readonly Grant[],
  services: readonly Pick<Service, 'slug' | 'scopes'>[],
): PolicyFault[] {
  return grants.flatMap((grant, index) => {
    const pointer = `/grants/${index}`;
    const service = services.find((one) => one.slug === grant.service);
    if (service === undefined) {
      const detail = `There is no service ${grant.service}`;
      return [{ pointer: `${pointer}/service`, detail, code: 'INVALID_VALUE' }];
    }
    return grant.scopes.flatMap((scope, place) =>
      isGrantable(scope, service.scopes)
        ? []
        : [{ pointer: `${pointer}/scopes/${place}`, detail: scopeText(scope, service) }],
    );
  });
}

function resolveNever(
  policies: readonly Policy[],
  latestMs: number,
): { expiresAtMs: null } | PolicyFault[] {
  const isBounded = policies.some((one) => one.expiryRequired || one.maxLifetimeSeconds !== null);
  if (!isBounded) return { expiresAtMs: null };
  return [
    { pointer: '/expiresAt', detail: `The policy requires an expiry, ${untilText(latestMs)}` },
  ];
}

function untilText(latestMs: number): string {
  return `at the latest ${new Date(latestMs).toISOString()}`;
}

function isGrantable(scope: string, catalogue: readonly string[]): boolean {
  return catalogue.some((known) => covers(known, scope) || covers(scope, known));
}

function scopeText(scope: string, { slug, scopes }: Pick<Service, 'slug' | 'scopes'>): string {
  if (scopes.length === 0) return `${slug} has no scopes yet`;
  const named = scopes.slice(0, SCOPES_NAMED).join(', ');
  const more = scopes.length > SCOPES_NAMED ? ` and ${scopes.length - SCOPES_NAMED} more` : '';
  return `${slug} has no scope ${scope}; it has ${named}${more}`;
}
