import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What the key service has of service-a's own keys: the version of each that it was told of, and the number of the secret that was
 * current then. A key without a row was never handed over; one whose version is another now has changed since.
 */
export class HandedOver1700000006000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE service_a.handed_over (
        key_id text PRIMARY KEY REFERENCES service_a.key,
        version integer NOT NULL,
        secret integer NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
      );
      INSERT INTO service_a.handed_over (key_id, version, secret)
      SELECT k.id, CASE WHEN last.action IN ('key.handed_over', 'key.taken_over') THEN k.version ELSE 0 END,
        coalesce((SELECT s.number FROM service_a.secret s WHERE s.key_id = k.id AND s.valid_until IS NULL), 0)
      FROM service_a.key k JOIN LATERAL (
        SELECT action FROM service_a.event e WHERE e.key_id = k.id ORDER BY seq DESC LIMIT 1) last ON true
      WHERE EXISTS (SELECT FROM service_a.event e WHERE e.key_id = k.id
        AND e.action IN ('key.handed_over', 'key.taken_over'));
      GRANT SELECT, INSERT, UPDATE ON service_a.handed_over TO keyward_service_a;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE service_a.handed_over');
  }
}
