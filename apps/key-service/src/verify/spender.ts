import type { RateLimit } from '#contracts';
import type { Fence } from '../changes/fence.js';
import type { Taken } from '../quota/quota-balance.js';
import type { Purpose, QuotaLedger } from '../quota/quota-ledger.js';
import type { LocalLimits, Owner } from './local-limits.js';
import { AWAY, type Ask, type CacheAnswer, type RecordCache } from './record-cache.js';
import { UNLIMITED, type Sharing, type Spending, type Spent } from './spending.js';

export interface SpenderParts {
  cache: RecordCache | null;
  limits: LocalLimits;
  ledger: QuotaLedger;
  fence: Fence;
  now: () => number;
}

/** The key has another quota than its record says: read the record anew. */
const CHANGED: CacheAnswer = { kind: 'miss', token: '' };

/**
 * Takes what a call costs from the limits and the quota of its key, from all of them or from none.
 *
 * In Redis that is one script. A quota's units there are leased: a few at a time are taken from PostgreSQL, and only units
 * that were taken there are ever spent, so no loss of Redis lets a key spend more than its quota; what a lost lease held is
 * lost to the key. Limits that a consumer's keys share take a second script: they are spent first and given back where the
 * key's own refuse, so that meanwhile, for a millisecond, another of its keys may be refused.
 */
export class Spender {
  constructor(private readonly parts: SpenderParts) {}

  /** Spends in Redis where the entry is still the one that is asked about. @throws where a lease is short and PostgreSQL away */
  confirm(ask: Ask, sharing: Sharing): Promise<CacheAnswer> {
    return ask.spending.limits.some(isShared)
      ? this.confirmWithShared(ask, sharing)
      : this.confirmOwn(ask);
  }

  /**
   * Spends for a record that was just read, in this process where Redis is away.
   *
   * @returns null where the key has another quota by now: read it again
   * @throws where the quota has to be asked for and PostgreSQL does not answer
   */
  async spend(owner: Owner, spending: Spending): Promise<Spent | null> {
    if (spending.limits.length === 0 && spending.quota === null) return UNLIMITED;
    if (this.parts.cache !== null) {
      const ask = { keyId: owner.keyId, tag: '*', epoch: 0, spending };
      const answer = await this.confirm(ask, owner);
      if (answer.kind === 'same') return answer.spent;
      if (answer === CHANGED) return null;
    }
    return this.spendHere(owner, spending);
  }

  private confirmOwn(ask: Ask): Promise<CacheAnswer> {
    return this.parts.cache!.check(ask, () => this.confirmWithMore(ask));
  }

  /** After more was taken from the store, as the lease was short. */
  private async confirmWithMore(ask: Ask): Promise<CacheAnswer> {
    const taken = await this.take(ask.keyId, ask.spending, 'lease');
    return taken === null ? CHANGED : this.parts.cache!.check({ ...ask, taken }, () => AWAY);
  }

  private async confirmWithShared(ask: Ask, sharing: Sharing): Promise<CacheAnswer> {
    const { limits, cost, isDry } = ask.spending;
    const shared = { ...ask.spending, limits: limits.filter(isShared), quota: null };
    const own = { ...ask.spending, limits: limits.filter((one) => !isShared(one)) };
    const first = await this.parts.cache!.spendShared(sharing, shared);
    if (first === null) return AWAY;
    const isHeld = !isDry && first.refusal === null;
    const giveBack = async () =>
      isHeld ? this.parts.cache!.spendShared(sharing, { ...shared, cost: -cost }) : null;
    // the record must be confirmed for a refusal too
    const spending = first.refusal === null ? own : { ...own, quota: null, isDry: true };
    const answer = await this.confirmOwn({ ...ask, spending }).catch(async (error: unknown) => {
      await giveBack();
      throw error;
    });
    if (answer.kind === 'same' && answer.spent.refusal === null)
      return { kind: 'same', spent: merged(limits, first, answer.spent) };
    const { states = first.states } = (await giveBack()) ?? {};
    if (answer.kind !== 'same') return answer;
    return { kind: 'same', spent: merged(limits, { ...first, states }, answer.spent) };
  }

  private async spendHere(owner: Owner, spending: Spending): Promise<Spent | null> {
    const { limits, fence, now } = this.parts;
    const share = () => ({ replicas: fence.replicas, nowMs: now() });
    const spent = limits.spend(owner, spending, share());
    if (spending.quota === null || spent.refusal !== null) return spent;
    const giveBack = () => limits.spend(owner, { ...spending, cost: -spending.cost }, share());
    const taken = await this.take(owner.keyId, spending, 'spend').catch((error: unknown) => {
      giveBack();
      throw error;
    });
    const { cost, isDry } = spending;
    if (taken !== null && (isDry ? taken.remaining : taken.units) >= cost)
      return { ...spent, quotaLeft: taken.remaining };
    const { states } = giveBack();
    return taken && { ...spent, states, refusal: 'QUOTA_EXCEEDED', quotaLeft: taken.remaining };
  }

  private take(
    keyId: string,
    { quota, cost, isDry }: Spending,
    purpose: Purpose,
  ): Promise<Taken | null> {
    const { ledger } = this.parts;
    return isDry ? ledger.read(keyId, quota!) : ledger.take(keyId, quota!, { cost, purpose });
  }
}

function isShared({ sharedBy }: RateLimit): boolean {
  return sharedBy !== undefined;
}

/** Both together, with the states in the order of all limits. */
function merged(limits: readonly RateLimit[], shared: Spent, own: Spent): Spent {
  const states = [...shared.states, ...own.states];
  return {
    refusal: shared.refusal ?? own.refusal,
    retryMs: Math.max(shared.retryMs, own.retryMs),
    states: limits.map(({ name }) => states.find((one) => one.name === name)!),
    quotaLeft: own.quotaLeft,
  };
}
