import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What service-a's secret is known by, so that another one is told from an unknown key; and a way to its keys by their digest, for
 * those that came from elsewhere and do not name their id.
 */
export class OwnSecret1700000004120 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE service_a.own_secret (
        is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
        known_by bytea NOT NULL CHECK (octet_length(known_by) = 32)
      );
      GRANT SELECT, INSERT ON service_a.own_secret TO keyward_service_a;
      CREATE INDEX secret_by_digest ON service_a.secret (digest);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX service_a.secret_by_digest;
      DROP TABLE service_a.own_secret;
    `);
  }
}
