import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `cache_epoch.timeline_since`: when the key service met the history that it is in now; null where it was never in another. */
export class HistorySince1700000006110 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.cache_epoch ADD COLUMN timeline_since timestamptz');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE keys.cache_epoch DROP COLUMN timeline_since');
  }
}
