import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Keys whose secrets are held at a time. */
const AT_A_TIME = 10_000;

/**
 * Each by itself: the table is locked for a moment, not while it is looked through, and nobody who uses it waits for one lock while this
 * waits for theirs.
 */
const NEVER_NULL = [
  'ALTER TABLE keys.secret DROP CONSTRAINT IF EXISTS secret_has_place',
  'ALTER TABLE keys.secret ADD CONSTRAINT secret_has_place CHECK (key_seq IS NOT NULL) NOT VALID',
  'ALTER TABLE keys.secret VALIDATE CONSTRAINT secret_has_place',
  'ALTER TABLE keys.secret ALTER COLUMN key_seq SET NOT NULL',
  'ALTER TABLE keys.secret DROP CONSTRAINT secret_has_place',
];

/**
 * Gives all secrets their place, those of some keys in each transaction, so that nobody who rotates a key waits long. One that breaks off
 * is run again, and goes on.
 */
export class PlacesOfAllSecrets1700000006510 implements MigrationInterface {
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    const [{ last }] = (await runner.query(
      'SELECT coalesce(max(seq), 0)::float8 AS last FROM keys.key',
    )) as [{ last: number }];
    for (let from = 0; from <= last; from += AT_A_TIME)
      await runner.query(
        `UPDATE keys.secret s SET key_seq = k.seq FROM keys.key k
         WHERE k.id = s.key_id AND k.seq BETWEEN $1 AND $2 AND s.key_seq IS NULL`,
        [from, from + AT_A_TIME - 1],
      );
    for (const statement of NEVER_NULL) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    // the column goes with the migration before
    await runner.query('ALTER TABLE keys.secret ALTER COLUMN key_seq DROP NOT NULL');
  }
}
