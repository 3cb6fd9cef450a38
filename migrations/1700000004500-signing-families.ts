import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Signing keys of other families than ES256. Each family has its own key in use and its own next one. */
export class SigningFamilies1700000004500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE login.signing_key DROP CONSTRAINT signing_key_algorithm_check;
      ALTER TABLE login.signing_key ADD CONSTRAINT signing_key_algorithm_check
        CHECK (algorithm IN ('ES256', 'RS256', 'EdDSA'));
      DROP INDEX login.signing_key_one_in_use;
      CREATE UNIQUE INDEX signing_key_one_in_use ON login.signing_key (algorithm, state)
        WHERE state <> 'retired';
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DELETE FROM login.signing_key WHERE algorithm <> 'ES256';
      DROP INDEX login.signing_key_one_in_use;
      CREATE UNIQUE INDEX signing_key_one_in_use ON login.signing_key (state) WHERE state <> 'retired';
      ALTER TABLE login.signing_key DROP CONSTRAINT signing_key_algorithm_check;
      ALTER TABLE login.signing_key ADD CONSTRAINT signing_key_algorithm_check CHECK (algorithm = 'ES256');
    `);
  }
}
