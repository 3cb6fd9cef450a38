import type { Pool } from 'pg';
import { Candidates } from './candidates.js';

describe('Look-ups of imported keys', () => {
  it('share a statement while guesses flood, however many turns they are spread over', async () => {
    const { candidates, statements } = counting(() => true);
    const asked: Promise<unknown>[] = [];
    for (let n = 0; n < 10; n += 1) {
      asked.push(candidates.find([Buffer.from([n])]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(asked);
    expect(statements.reduce((sum, one) => sum + one)).toBe(10);
    expect(statements.length).toBeLessThan(5);
  });

  it('are sent at the end of their turn otherwise', async () => {
    const { candidates, statements } = counting(() => false);
    for (const n of [1, 2]) await candidates.find([Buffer.from([n])]);
    await Promise.all([3, 4].map((n) => candidates.find([Buffer.from([n])])));
    expect(statements).toEqual([1, 1, 2]);
  });
});

/** Look-ups whose statements find nothing, and of how many texts each was. */
function counting(isFlooded: () => boolean) {
  const statements: number[] = [];
  const query = ({ values: [lookups] }: { values: [Buffer[]] }) => {
    statements.push(lookups.length);
    return Promise.resolve({ rows: [] });
  };
  const pool = { query } as unknown as Pick<Pool, 'query'>;
  return { candidates: new Candidates(pool, isFlooded), statements };
}
