import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What managing many keys needs: an order for every list that an index gives, and the answers that an Idempotency-Key may
 * ask for again. `key_grant.key_seq` repeats its key's `seq`, so that the keys of a service are found in their order.
 */
export class Management1700000003020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.key_grant ADD COLUMN key_seq bigint;
      UPDATE keys.key_grant g SET key_seq = k.seq FROM keys.key k WHERE k.id = g.key_id;
      ALTER TABLE keys.key_grant ALTER COLUMN key_seq SET NOT NULL;
      CREATE FUNCTION keys.set_key_seq() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        SELECT k.seq INTO NEW.key_seq FROM keys.key k WHERE k.id = NEW.key_id;
        RETURN NEW;
      END $$;
      CREATE TRIGGER key_grant_knows_its_place BEFORE INSERT ON keys.key_grant
        FOR EACH ROW EXECUTE FUNCTION keys.set_key_seq();
      CREATE INDEX key_grant_in_order ON keys.key_grant (service, key_seq DESC);
      DROP INDEX keys.key_grant_by_service;

      DROP INDEX keys.key_by_expiry;
      CREATE INDEX key_by_expiry ON keys.key (expires_at, seq) WHERE expires_at IS NOT NULL;
      CREATE INDEX key_by_use ON keys.key ((coalesce(last_used_at, created_at)), seq);
      CREATE INDEX key_stopped ON keys.key (state, seq DESC) WHERE state <> 'active';
      CREATE INDEX key_in_environment ON keys.key (environment, seq DESC);
      CREATE INDEX secret_by_hint ON keys.secret (last4);

      -- principal: who sent the key; answer: as it was given, its secret taken out and sealed for a while
      CREATE TABLE keys.idempotency (
        principal text NOT NULL,
        key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
        request bytea NOT NULL CHECK (octet_length(request) = 32),
        answer json,
        touched json,
        sealed_secret bytea,
        secret_until timestamptz,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (principal, key)
      );
      CREATE INDEX idempotency_by_age ON keys.idempotency (created_at);
      CREATE INDEX idempotency_sealed ON keys.idempotency (secret_until) WHERE sealed_secret IS NOT NULL;
      GRANT SELECT, INSERT, UPDATE, DELETE ON keys.idempotency TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE keys.idempotency;
      DROP INDEX keys.secret_by_hint, keys.key_in_environment, keys.key_stopped, keys.key_by_use, keys.key_by_expiry;
      CREATE INDEX key_by_expiry ON keys.key (expires_at) WHERE expires_at IS NOT NULL;
      DROP TRIGGER key_grant_knows_its_place ON keys.key_grant;
      DROP FUNCTION keys.set_key_seq();
      CREATE INDEX key_grant_by_service ON keys.key_grant (service, key_id);
      ALTER TABLE keys.key_grant DROP COLUMN key_seq;
    `);
  }
}
