import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Which secret of a key an imported one is at its source, counting up: the word of an earlier one may come after that of a later
 * one, and is not to bring it back.
 */
export class SourceNumbers1700000007000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.legacy_secret ADD COLUMN source_number integer');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.legacy_secret DROP COLUMN source_number');
  }
}
