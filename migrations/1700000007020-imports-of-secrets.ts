import type { MigrationInterface, QueryRunner } from 'typeorm';

/** An import that has only given new secrets to keys from elsewhere has something to look for, too, once and for all. */
export class ImportsOfSecrets1700000007020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.import ADD COLUMN has_secrets boolean NOT NULL DEFAULT false;
      UPDATE keys.import SET has_secrets = true WHERE id IN (SELECT DISTINCT import_id FROM keys.legacy_secret);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.import DROP COLUMN has_secrets');
  }
}
