import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Service accounts with key pairs of their own, and which of their assertions have been used (RFC 7523). */
export class ClientKeys1700000004510 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE login.client ADD COLUMN jwks jsonb;
      CREATE TABLE login.client_assertion (
        client_id text NOT NULL REFERENCES login.client ON DELETE CASCADE,
        jti text NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (client_id, jti)
      );
      CREATE INDEX client_assertion_by_end ON login.client_assertion (expires_at);
      GRANT SELECT, INSERT, DELETE ON login.client_assertion TO keyward_login;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE login.client_assertion');
    await runner.query('ALTER TABLE login.client DROP COLUMN jwks');
  }
}
