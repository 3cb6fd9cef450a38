import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The comparison of both sides begins anew when a service is moved. */
export class ParityAnew1700000006200 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('GRANT DELETE ON keys.import_parity TO keyward_key_service');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('REVOKE DELETE ON keys.import_parity FROM keyward_key_service');
  }
}
