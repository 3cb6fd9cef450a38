import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * New entries of the index on parts of names wait in a list that every search reads through, up to 4 MB of it by default; and every use of a
 * key that is written makes some. Now up to 64 kB wait, the least that there may be.
 */
export class NamesFoundAtOnce1700000006530 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER INDEX IF EXISTS keys.key_by_name SET (gin_pending_list_limit = 64)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER INDEX IF EXISTS keys.key_by_name RESET (gin_pending_list_limit)');
  }
}
