import { hash } from 'node:crypto';
import type { Verdict } from '#contracts';

/**
 * Keys of which the key service last said that nothing limits them: only they may be asked about a second time because the
 * first answer is late. Of any other key a second question would take a second unit of a limit or quota.
 */
export class FreeKeys {
  private readonly digests = new Set<string>();

  /** @param most keys that are remembered; the oldest go first */
  constructor(private readonly most: number) {}

  has(key: string): boolean {
    return this.digests.size > 0 && this.digests.has(digestOf(key));
  }

  /** What an answer about a key says; a refusal without a lease says nothing of limits. */
  learn(key: string, verdict: Verdict): void {
    const isFree = isFreeBy(verdict);
    if (isFree === null) return;
    const digest = digestOf(key);
    this.digests.delete(digest);
    if (!isFree) return;
    this.digests.add(digest);
    if (this.digests.size > this.most) this.digests.delete(this.digests.values().next().value!);
  }
}

function isFreeBy({ valid, rateLimits = [], quota, lease }: Verdict): boolean | null {
  if (rateLimits.length > 0 || quota !== undefined) return false;
  if (lease !== undefined) return !lease.hasQuota && lease.rateLimits.length === 0;
  return valid ? true : null;
}

function digestOf(key: string): string {
  return hash('sha256', key, 'binary');
}
