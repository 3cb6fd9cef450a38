import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `cache_epoch.timeline`: the history of this PostgreSQL that the epoch belongs to. A standby that is promoted, or a backup that
 * is restored, begins another, which may lack what was committed last and then gives the same numbers anew.
 */
export class Timelines1700000004001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.cache_epoch ADD COLUMN timeline text');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.cache_epoch DROP COLUMN timeline');
  }
}
