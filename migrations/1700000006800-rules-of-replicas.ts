import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A replica reports by which row of the change log it knows the imports: who moves one waits until all others know of it. */
export class RulesOfReplicas1700000006800 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.replica ADD COLUMN imports bigint NOT NULL DEFAULT 0');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.replica DROP COLUMN imports');
  }
}
