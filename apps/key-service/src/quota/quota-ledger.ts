import type pg from 'pg';
import type { QuotaRecord } from '#key-core';
import { readBalances, takeUnitsOf, type Taken } from './quota-balance.js';

/** Units for one caller: as many as it asked for, unless the quota has no more; null where the key has another quota by now. */
export type Allotment = Taken | null;

/** How units are taken: for the lease that all replicas share, or to be spent at once by a caller who has no lease. */
export type Purpose = 'lease' | 'spend';

/** Who has waited longer than this when a statement fails fails with it: another wait would be longer than a verification may take. */
const TRY_AGAIN_WITHIN_MS = 250;

interface Waiter {
  cost: number;
  sinceMs: number;
  resolve: (allotment: Allotment) => void;
  reject: (error: unknown) => void;
}

/**
 * Hands out units of quotas, whose truth is in PostgreSQL. Callers of one key who wait at the same time share one statement.
 * For `lease`, the first gets what was taken beyond the need, and the last may get less than it asked for; for `spend` each
 * gets all or nothing.
 */
export class QuotaLedger {
  private readonly queues = new Map<string, Waiter[]>();

  constructor(private readonly pool: pg.Pool) {}

  /** @throws where PostgreSQL does not answer within 1.7 s */
  take(
    keyId: string,
    quota: QuotaRecord,
    { cost, purpose }: { cost: number; purpose: Purpose },
  ): Promise<Allotment> {
    return new Promise((resolve, reject) => {
      const name = `${purpose}:${keyId}:${quota.setting}`;
      const waiter = { cost, sinceMs: performance.now(), resolve, reject };
      const queue = this.queues.get(name);
      if (queue !== undefined) {
        queue.push(waiter);
        return;
      }
      this.queues.set(name, [waiter]);
      void this.serve(name, { keyId, quota, purpose });
    });
  }

  /** What is left, taking nothing. */
  async read(keyId: string, quota: QuotaRecord): Promise<Taken> {
    const query = async (sql: string, values: unknown[]) =>
      (await this.pool.query(sql, values)).rows;
    const [taken] = await readBalances(query, [{ keyId, quota }]);
    return taken!;
  }

  /** Serves a queue until nobody waits in it. */
  private async serve(
    name: string,
    { keyId, quota, purpose }: { keyId: string; quota: QuotaRecord; purpose: Purpose },
  ): Promise<void> {
    const queue = this.queues.get(name)!;
    while (queue.length > 0) {
      const served = queue.splice(0);
      const costs = served.map((one) => one.cost);
      try {
        const isLease = purpose === 'lease';
        const taken = await takeUnitsOf(this.pool, keyId, quota, { costs, isLease });
        if (taken === null) for (const one of served) one.resolve(null);
        else if (isLease) divide(taken, served);
        else queue.unshift(...serveWhole(taken, served));
      } catch (error) {
        for (const one of [...served, ...takeLongWaiting(queue)]) one.reject(error);
      }
    }
    this.queues.delete(name);
  }
}

/** In the order of their coming, so those who came long ago are at its head. */
function takeLongWaiting(queue: Waiter[]): Waiter[] {
  const beforeMs = performance.now() - TRY_AGAIN_WITHIN_MS;
  const recent = queue.findIndex((one) => one.sinceMs > beforeMs);
  return queue.splice(0, recent === -1 ? queue.length : recent);
}

function divide(taken: Taken, waiters: readonly Waiter[]): void {
  const needed = waiters.reduce((sum, one) => sum + one.cost, 0);
  let surplus = Math.max(0, taken.units - needed);
  let left = taken.units - surplus;
  for (const { cost, resolve } of waiters) {
    const units = Math.min(cost, left) + surplus;
    left -= Math.min(cost, left);
    surplus = 0;
    resolve({ ...taken, units });
  }
}

/** @returns those for whom too little was taken this time, though what is left would do */
function serveWhole(taken: Taken, waiters: readonly Waiter[]): Waiter[] {
  let left = taken.units;
  return waiters.filter((one) => {
    if (one.cost <= left) {
      left -= one.cost;
      one.resolve({ ...taken, units: one.cost });
      return false;
    }
    left = 0;
    if (one.cost <= taken.remaining) return true;
    one.resolve({ ...taken, units: 0 });
    return false;
  });
}
