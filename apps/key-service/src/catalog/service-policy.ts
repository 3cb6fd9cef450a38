import type { Policy } from '#contracts';
import { boundDefaults, boundText, grantFaults, isWithin } from '#key-core';
import { invalidField } from '#server';

/**
 * A policy with some properties replaced. A default that was not named gives way to a new maximum.
 *
 * @param scopes the service's catalogue: what the policy says of scopes is about these
 * @throws ProblemException INVALID_REQUEST where a named default is beyond its maximum, or a scope is not in the catalogue
 */
export function mergePolicy(
  before: Policy,
  change: Partial<Policy> = {},
  scopes: readonly string[],
): Policy {
  const policy = { ...before, ...change };
  refuseHighDefaults(policy, change);
  refuseStrangeScopes(policy, change, scopes);
  return {
    ...policy,
    defaultRateLimits: boundDefaults(policy),
    defaultLifetimeSeconds: within('defaultLifetimeSeconds', 'maxLifetimeSeconds'),
    defaultOverlapSeconds: within('defaultOverlapSeconds', 'maxOverlapSeconds'),
  };

  function within(
    name: 'defaultLifetimeSeconds' | 'defaultOverlapSeconds',
    maximum: 'maxLifetimeSeconds' | 'maxOverlapSeconds',
  ): number {
    const most = policy[maximum] ?? Infinity;
    if (policy[name] <= most) return policy[name];
    if (change[name] === undefined) return most;
    throw invalidField(`/policy/${name}`, `Use at most ${maximum}, ${most}`);
  }
}

function refuseHighDefaults({ maxRateLimits }: Policy, change: Partial<Policy>): void {
  for (const [index, limit] of (change.defaultRateLimits ?? []).entries()) {
    const most = maxRateLimits.find((one) => one.name === limit.name);
    if (most === undefined || isWithin(limit, most)) continue;
    const detail = `As maxRateLimits says, use ${boundText(most)}`;
    throw invalidField(`/policy/defaultRateLimits/${index}`, detail);
  }
}

function refuseStrangeScopes(
  policy: Policy,
  change: Partial<Policy>,
  scopes: readonly string[],
): void {
  for (const name of ['grantableScopes', 'sensitiveScopes'] as const) {
    for (const [index, scope] of (policy[name] ?? []).entries()) {
      if (isOfCatalogue(scope, scopes)) continue;
      if (change[name] === undefined)
        throw invalidField('/scopes', `Keep ${scope}, or take it out of policy.${name}`);
      throw invalidField(`/policy/${name}/${index}`, 'Use scopes of the catalogue');
    }
  }
}

/** Whether a scope may be granted out of a catalogue, by name or by wildcard. */
export function isOfCatalogue(scope: string, scopes: readonly string[]): boolean {
  const service = 'service';
  const catalogue = [{ slug: service, scopes: [...scopes] }];
  return grantFaults([{ service, scopes: [scope] }], catalogue).length === 0;
}
