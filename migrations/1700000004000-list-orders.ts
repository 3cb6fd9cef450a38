import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * An order that an index gives for the lists of keys that had none: those that are disabled, those of a tag, those of a state
 * by their end; and parts of names, where the server has `pg_trgm`. Triggers keep what repeats other rows: `consumer_off` says that
 * the key's consumer is disabled, `key_tag` has a row for each tag of a key.
 */
export class ListOrders1700000004000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.key ADD COLUMN consumer_off boolean NOT NULL DEFAULT false;
      UPDATE keys.key k SET consumer_off = true FROM keys.consumer c WHERE c.slug = k.consumer AND NOT c.enabled;
      CREATE FUNCTION keys.know_consumer() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        -- locked, so that a consumer that is disabled at the same time waits for this key, or this key for it
        SELECT NOT c.enabled INTO NEW.consumer_off FROM keys.consumer c WHERE c.slug = NEW.consumer FOR SHARE;
        NEW.consumer_off := coalesce(NEW.consumer_off, false);
        RETURN NEW;
      END $$;
      CREATE TRIGGER key_knows_its_consumer BEFORE INSERT ON keys.key
        FOR EACH ROW EXECUTE FUNCTION keys.know_consumer();
      CREATE FUNCTION keys.tell_keys() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE keys.key SET consumer_off = NOT NEW.enabled WHERE consumer = NEW.slug AND state <> 'revoked';
        RETURN NULL;
      END $$;
      CREATE TRIGGER consumer_tells_its_keys AFTER UPDATE OF enabled ON keys.consumer
        FOR EACH ROW WHEN (OLD.enabled <> NEW.enabled) EXECUTE FUNCTION keys.tell_keys();

      CREATE INDEX key_disabled ON keys.key (seq DESC)
        WHERE state <> 'revoked' AND (state = 'disabled' OR consumer_off);
      CREATE INDEX key_disabled_by_expiry ON keys.key (expires_at, seq)
        WHERE state <> 'revoked' AND (state = 'disabled' OR consumer_off) AND expires_at IS NOT NULL;
      CREATE INDEX key_held_by_expiry ON keys.key (expires_at, seq)
        WHERE state <> 'revoked' AND expires_at IS NOT NULL;
      CREATE INDEX key_revoked_by_expiry ON keys.key (expires_at, seq)
        WHERE state = 'revoked' AND expires_at IS NOT NULL;

      CREATE TABLE keys.key_tag (
        tag text NOT NULL,
        key_seq bigint NOT NULL REFERENCES keys.key (seq) ON DELETE CASCADE,
        PRIMARY KEY (tag, key_seq)
      );
      INSERT INTO keys.key_tag SELECT DISTINCT unnest(tags), seq FROM keys.key;
      CREATE FUNCTION keys.keep_tags() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF TG_OP = 'UPDATE' THEN
          DELETE FROM keys.key_tag WHERE tag = ANY (OLD.tags) AND key_seq = OLD.seq;
        END IF;
        INSERT INTO keys.key_tag SELECT DISTINCT unnest(NEW.tags), NEW.seq;
        RETURN NULL;
      END $$;
      CREATE TRIGGER key_keeps_its_tags AFTER INSERT OR UPDATE OF tags ON keys.key
        FOR EACH ROW EXECUTE FUNCTION keys.keep_tags();
      DROP INDEX keys.key_by_tag;
      GRANT SELECT, INSERT, DELETE ON keys.key_tag TO keyward_key_service;

      -- a server without it, or an owner who may not have it, finds parts of names by reading all of them
      DO $$
      DECLARE home text;
      BEGIN
        IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN RETURN; END IF;
        CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA keys;
        SELECT extnamespace::regnamespace INTO home FROM pg_extension WHERE extname = 'pg_trgm';
        EXECUTE format('CREATE INDEX key_by_name ON keys.key USING gin (name %s.gin_trgm_ops)', home);
      EXCEPTION WHEN insufficient_privilege THEN NULL;
      END $$;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX IF EXISTS keys.key_by_name;
      CREATE INDEX key_by_tag ON keys.key USING gin (tags);
      DROP TRIGGER key_keeps_its_tags ON keys.key;
      DROP FUNCTION keys.keep_tags();
      DROP TABLE keys.key_tag;
      DROP INDEX keys.key_revoked_by_expiry, keys.key_held_by_expiry, keys.key_disabled_by_expiry, keys.key_disabled;
      DROP TRIGGER consumer_tells_its_keys ON keys.consumer;
      DROP FUNCTION keys.tell_keys();
      DROP TRIGGER key_knows_its_consumer ON keys.key;
      DROP FUNCTION keys.know_consumer();
      ALTER TABLE keys.key DROP COLUMN consumer_off;
    `);
  }
}
