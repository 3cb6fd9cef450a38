import type { Logger } from 'pino';
import type { DataSource, EntityManager } from 'typeorm';
import type { Propagation } from '#contracts';
import { appendChanges, isRetriable, type NewChange } from './change-log.js';
import type { Fence } from './fence.js';
import type { Markers, TouchedKey } from './marker.js';
import { transactUntil } from './transaction.js';

/** What a mutation did: its result, its rows for the change log, and the keys whose verification it changes. */
export interface Mutation<T> {
  result: T;
  changes: NewChange[];
  touched: TouchedKey[];
  /** Whether it is about which side counts for imported keys: every replica has to know of it, too. */
  movesImports?: boolean;
  /**
   * Where it may repeat what was done before, and leave it as it is: then that has to have reached everybody, too, though none of its
   * keys is touched. Who did it may have died, or been told that it is not certain.
   */
  mayRepeat?: boolean;
}

export interface MutationParts {
  db: DataSource;
  fence: Fence;
  /** Null where there is no Redis, and so nothing to overwrite. */
  markers: Markers | null;
  /** Whether Redis holds nothing older than what was committed before the call, whoever did that. */
  isOverwritten: () => Promise<boolean>;
  cacheTtlSeconds: number;
  log: Logger;
}

/** How much a mutation may touch: one key with what belongs to it, or as many as there are. */
export type Extent = 'one' | 'many';

/** From the call to the commit, with the wait for a connection and all tries. */
const COMMIT_WITHIN_MS: Record<Extent, number> = { one: 3_000, many: 20_000 };
/** From the commit to the answer; what has not reached every replica by then is told with its bound. */
const REACH_WITHIN_MS: Record<Extent, number> = { one: 2_000, many: 10_000 };
const MAX_TRIES = 4;

type Done = Pick<Mutation<unknown>, 'touched' | 'mayRepeat' | 'movesImports'>;

/** What is to reach everybody: the epoch that it was committed in, and how much it is. */
interface Reach {
  epoch: number;
  extent: Extent;
}

/**
 * Runs what changes something. The rows, and their entries in the change log as the last statements, are one transaction;
 * after its commit and before this returns, the cache entries of all touched keys are overwritten with markers, so that no
 * verification that starts later, on any replica, goes by the old state. Where that cannot be made certain the answer says
 * so, with the bound. A serialization failure or deadlock is tried again, three times at most. However slow PostgreSQL is, there is
 * an answer in time: what is of one key has 3 s to be committed and 2 s to reach everybody, what is of many 20 s and 10 s.
 */
export class Mutations {
  constructor(private readonly parts: MutationParts) {}

  /** @throws whatever `work` throws, or an outage where there was not enough time; nothing is changed then */
  async run<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
    extent: Extent = 'one',
  ): Promise<{ result: T; propagation: Propagation }> {
    const endMs = performance.now() + COMMIT_WITHIN_MS[extent];
    const { mutation, epoch } = await this.commit(work, { endMs, attempt: 1 });
    const propagation = await this.propagate(mutation, { epoch, extent });
    return { result: mutation.result, propagation };
  }

  private async commit<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
    { endMs, attempt }: { endMs: number; attempt: number },
  ): Promise<{ mutation: Mutation<T>; epoch: number }> {
    try {
      return await transactUntil(this.parts.db, endMs, async (manager) => {
        const mutation = await work(manager);
        const [head] = await manager.query<{ epoch: string }[]>(
          'SELECT epoch FROM keys.cache_epoch',
        );
        if (mutation.changes.length > 0) await appendChanges(manager, mutation.changes);
        return { mutation, epoch: Number(head!.epoch) };
      });
    } catch (error) {
      if (attempt >= MAX_TRIES || !isRetriable(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20 * 2 ** attempt));
      return this.commit(work, { endMs, attempt: attempt + 1 });
    }
  }

  private async propagate(done: Done, reach: Reach): Promise<Propagation> {
    const startedMs = performance.now();
    const boundSeconds = await this.boundOf(done, reach);
    const ms = Math.round((performance.now() - startedMs) * 10) / 10;
    return { confirmed: boundSeconds === 0, boundSeconds, ms };
  }

  /** For how many seconds some replica may still go by the old state; 0 where none does. */
  private async boundOf(done: Done, { epoch, extent }: Reach): Promise<number> {
    const { fence, cacheTtlSeconds, log } = this.parts;
    try {
      if (await within(REACH_WITHIN_MS[extent], this.confirm(done, epoch))) return 0;
      return fence.boundSeconds;
    } catch (error) {
      log.error(
        { err: error },
        'a change is committed, but that every replica goes by it is not certain',
      );
      // the epoch may not have been raised: a replica that reads it goes by an entry to its end, then by the store
      return cacheTtlSeconds + fence.boundSeconds;
    }
  }

  private async confirm(done: Done, epoch: number): Promise<boolean> {
    const { touched, mayRepeat, movesImports } = done;
    const reached = await Promise.all([
      (touched.length === 0 && mayRepeat !== true) || this.confirmKeys(done, epoch),
      movesImports !== true || this.parts.fence.vouchForRules(),
    ]);
    return !reached.includes(false);
  }

  /** Where there is no Redis here, other replicas may have one all the same: then they have to hear of a new epoch. */
  private async confirmKeys({ touched, mayRepeat }: Done, epoch: number): Promise<boolean> {
    const { markers, fence, isOverwritten } = this.parts;
    let runs = (await markers?.write(touched, epoch)) ?? null;
    if (runs === null && markers?.isUsable === false) {
      // once more, with Redis admitted anew, before everybody has to give up what is cached
      await fence.poll();
      runs = await markers.write(touched, epoch);
    }
    if (mayRepeat === true && !(await isOverwritten())) runs = null;
    return runs === null ? fence.raise() : fence.vouchFor(runs);
  }
}

/** @throws where it takes longer than a caller can wait; it goes on all the same */
function within(ms: number, confirmed: Promise<boolean>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new Error('It took too long to reach every replica'));
    const timer = setTimeout(giveUp, ms);
    confirmed.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
