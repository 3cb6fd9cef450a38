import type { Policy } from '#contracts';
import { invalidField } from '#server';

/**
 * A policy with some properties replaced. A default that was not named gives way to a new maximum.
 *
 * @throws ProblemException INVALID_REQUEST where a named default is beyond its maximum
 */
export function mergePolicy(before: Policy, change: Partial<Policy> = {}): Policy {
  const policy = { ...before, ...change };
  return {
    ...policy,
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
