import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What is left of the quotas of keys. A row belongs to one setting of a quota (the key's version that brought it) and is
 * made when that quota is first used; a newer setting replaces it.
 */
export class Quotas1700000003010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- remaining: units not yet handed out; refilled_at: start of the day or month (UTC) that it was last refilled for
      CREATE TABLE keys.quota_balance (
        key_id text PRIMARY KEY REFERENCES keys.key,
        setting integer NOT NULL,
        remaining bigint NOT NULL CHECK (remaining >= 0),
        refilled_at timestamp NOT NULL
      ) WITH (fillfactor = 50);
      GRANT SELECT, INSERT, UPDATE ON keys.quota_balance TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE keys.quota_balance');
  }
}
