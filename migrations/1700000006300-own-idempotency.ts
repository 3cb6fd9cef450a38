import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What admins did at service-a, where it manages its own keys, under an Idempotency-Key. A secret in the answer is sealed, and taken out
 * after 10 minutes.
 */
export class OwnIdempotency1700000006300 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE service_a.idempotency (
        principal text NOT NULL,
        sent_under text NOT NULL CHECK (length(sent_under) BETWEEN 1 AND 255),
        request bytea NOT NULL CHECK (octet_length(request) = 32),
        answer json,
        sealed_secret bytea,
        secret_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (principal, sent_under)
      );
      CREATE INDEX idempotency_by_age ON service_a.idempotency (created_at);
      CREATE INDEX idempotency_sealed ON service_a.idempotency (secret_until) WHERE sealed_secret IS NOT NULL;
      GRANT SELECT, INSERT, UPDATE, DELETE ON service_a.idempotency TO keyward_service_a;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE service_a.idempotency');
  }
}
