import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What a replica reports is the epoch that its last reading showed, no longer when that was: a number that only grows says
 * for certain whether a raise was seen, and needs no clock, which another server has after a failover.
 */
export class ReplicaEpoch1700000003090 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE keys.replica DROP COLUMN read_at, ADD COLUMN epoch bigint NOT NULL DEFAULT 0',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DELETE FROM keys.replica');
    await runner.query(
      'ALTER TABLE keys.replica DROP COLUMN epoch, ADD COLUMN read_at timestamptz NOT NULL',
    );
  }
}
