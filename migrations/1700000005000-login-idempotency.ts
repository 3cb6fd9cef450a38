import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What admins did at login under an Idempotency-Key. `request` is a keyed digest of what was asked for; a secret in the answer
 * is sealed, and taken out after 10 minutes.
 */
export class LoginIdempotency1700000005000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE login.idempotency (
        principal text NOT NULL,
        sent_under text NOT NULL CHECK (length(sent_under) BETWEEN 1 AND 255),
        request bytea NOT NULL CHECK (octet_length(request) = 32),
        answer json,
        sealed_secret bytea,
        secret_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (principal, sent_under)
      );
      CREATE INDEX idempotency_by_age ON login.idempotency (created_at);
      CREATE INDEX idempotency_sealed ON login.idempotency (secret_until) WHERE sealed_secret IS NOT NULL;
      GRANT SELECT, INSERT, UPDATE, DELETE ON login.idempotency TO keyward_login;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE login.idempotency');
  }
}
