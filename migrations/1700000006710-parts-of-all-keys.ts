import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Keys that are held at a time: a tenth of a second or two. */
const AT_A_TIME = 2_000;

/**
 * Puts what is shown of their grants and secrets into the rows of all keys, of some in each transaction, so that nobody who changes
 * a key waits long. One that breaks off is run again, and goes on.
 */
export class PartsOfAllKeys1700000006710 implements MigrationInterface {
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const [{ last }] = (await runner.query(
      'SELECT coalesce(max(seq), 0)::float8 AS last FROM keys.key',
    )) as [{ last: number }];
    for (let from = 0; from <= last; from += AT_A_TIME)
      await runner.query(
        `SELECT keys.repeat_parts(ARRAY(SELECT id FROM keys.key WHERE seq BETWEEN $1 AND $2 AND grants IS NULL))`,
        [from, from + AT_A_TIME - 1],
      );
  }

  async down(): Promise<void> {
    // the columns go with the migration before
  }
}
