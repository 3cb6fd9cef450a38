import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Service accounts have a version, raised by every change, for ETag and If-Match. */
export class ClientVersion1700000005010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE login.client ADD COLUMN version integer NOT NULL DEFAULT 1');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE login.client DROP COLUMN version');
  }
}
