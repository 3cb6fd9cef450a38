import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `secret.key_seq` repeats its key's `seq`, as that of grants does. Here it is for new rows; the next migration gives it to the others. */
export class PlaceOfSecrets1700000006500 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.secret ADD COLUMN key_seq bigint;
      CREATE TRIGGER secret_knows_its_place BEFORE INSERT ON keys.secret
        FOR EACH ROW EXECUTE FUNCTION keys.set_key_seq();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER secret_knows_its_place ON keys.secret;
      ALTER TABLE keys.secret DROP COLUMN key_seq;
    `);
  }
}
