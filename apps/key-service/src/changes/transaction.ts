import type { Client } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';

/**
 * Runs `work` in a transaction that is over by `endMs` (of `performance.now()`), however many statements it has and whatever
 * they wait for. A connection that is still busy with it then is ended, and PostgreSQL rolls back what was begun on it; only
 * of a commit that was sent and not answered nobody knows what became of it, as after every lost connection.
 *
 * @throws whatever `work` throws; where the time is up, an outage in the sense of `isOutage`
 */
export async function transactUntil<T>(
  db: DataSource,
  endMs: number,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  const runner = db.createQueryRunner();
  let timer: NodeJS.Timeout | undefined;
  try {
    const client = (await runner.connect()) as Client;
    const giveUp = () => void client.end().catch(() => undefined);
    timer = setTimeout(giveUp, Math.max(0, endMs - performance.now()));
    await runner.startTransaction();
    const result = await work(runner.manager);
    await runner.commitTransaction();
    return result;
  } catch (error) {
    // where this fails the connection is gone, and the transaction with it
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
    await runner.release();
  }
}
