import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { Propagation } from '#contracts';
import { appendChanges, isRetriable, type NewChange } from './change-log.js';

/** A key whose verification changes, and its version from now on. */
export interface TouchedKey {
  keyId: string;
  version: number;
}

/** What a mutating transaction did. */
export interface Mutation<T> {
  result: T;
  changes: NewChange[];
  touched: TouchedKey[];
}

const ATTEMPTS = 4;

/** Runs mutating transactions with their rows of the change log. */
@Injectable()
export class Mutations {
  constructor(private readonly db: DataSource) {}

  /** Runs `work` in a transaction, again up to three times where PostgreSQL gave it up for another one. */
  async run<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
  ): Promise<{ result: T; propagation: Propagation }> {
    const startedMs = performance.now();
    const { result } = await this.attempt(work, 1);
    const ms = Math.round(performance.now() - startedMs);
    return { result, propagation: { confirmed: true, boundSeconds: 0, ms } };
  }

  private async attempt<T>(
    work: (manager: EntityManager) => Promise<Mutation<T>>,
    number: number,
  ): Promise<Mutation<T>> {
    try {
      return await this.db.transaction(async (manager) => {
        const mutation = await work(manager);
        if (mutation.changes.length > 0) await appendChanges(manager, mutation.changes);
        return mutation;
      });
    } catch (error) {
      if (!isRetriable(error) || number === ATTEMPTS) throw error;
      return this.attempt(work, number + 1);
    }
  }
}
