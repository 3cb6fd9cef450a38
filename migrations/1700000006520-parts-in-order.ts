import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Grants and secrets in the order of their keys' creation, as most lists show keys: of many keys those that are shown together then lie
 * together. What is shown of a secret is in the index itself, so that its row, which every use changes, is mostly not read.
 */
export class PartsInOrder1700000006520 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX key_grant_of_key ON keys.key_grant (key_seq);
      CREATE INDEX secret_of_key ON keys.secret (key_seq, number DESC) INCLUDE (prefix, last4, valid_until, ended);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX keys.secret_of_key, keys.key_grant_of_key');
  }
}
