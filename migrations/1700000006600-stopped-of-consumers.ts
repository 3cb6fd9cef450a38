import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The order of a consumer's keys that are revoked, and of those that are disabled: few of the many that it has. A key that is made is in
 * neither index, so that making one costs no more.
 */
export class StoppedOfConsumers1700000006600 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX key_revoked_of_consumer ON keys.key (consumer, seq DESC) WHERE state = 'revoked';
      CREATE INDEX key_disabled_of_consumer ON keys.key (consumer, seq DESC)
        WHERE state <> 'revoked' AND (state = 'disabled' OR consumer_off);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX keys.key_disabled_of_consumer, keys.key_revoked_of_consumer');
  }
}
