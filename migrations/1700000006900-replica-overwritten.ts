import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * How far each replica has overwritten in Redis what the change log says was changed. Who starts goes on from there: a replica that
 * died between its commit and its overwrite may have been the last one.
 */
export class ReplicaOverwritten1700000006900 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE keys.replica ADD COLUMN overwritten_to bigint NOT NULL DEFAULT 0',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.replica DROP COLUMN overwritten_to');
  }
}
