import type { MigrationInterface, QueryRunner } from 'typeorm';

/** An imported key that is rotated at its source has two secrets, each with the hash that came. */
export class SecretsOfImports1700000006010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE keys.legacy_secret DROP CONSTRAINT legacy_secret_pkey, ADD PRIMARY KEY (key_id, number)',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DELETE FROM keys.legacy_secret l USING keys.legacy_secret newer
      WHERE newer.key_id = l.key_id AND newer.number > l.number;
      ALTER TABLE keys.legacy_secret DROP CONSTRAINT legacy_secret_pkey, ADD PRIMARY KEY (key_id);
    `);
  }
}
