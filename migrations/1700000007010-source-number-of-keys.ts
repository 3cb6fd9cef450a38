import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A key keeps the highest number that a secret of it had at its source: kept beside the secret alone it went with that, and then an
 * earlier one could be brought back. The column beside the secrets is written no more.
 */
export class SourceNumberOfKeys1700000007010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.key ADD COLUMN source_number integer;
      UPDATE keys.key k SET source_number = l.number FROM (
        SELECT key_id, max(source_number) AS number FROM keys.legacy_secret WHERE source_number IS NOT NULL GROUP BY key_id) l
      WHERE l.key_id = k.id;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.key DROP COLUMN source_number');
  }
}
