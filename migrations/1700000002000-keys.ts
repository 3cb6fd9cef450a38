import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Schema `keys`: services, consumers, keys with their grants and secrets, the change log, and the epoch of the cache.
 * The role `keyward_key_service` may read and write rows, but not change the schema; of the change log it may only read
 * and add. Rules of `change_log`: numbers are gapless and in commit order (its head row is locked to the commit), and a
 * trigger refuses every change of a row, for the owner too.
 */
export class Keys1700000002000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE SCHEMA keys;

      CREATE TABLE keys.service (
        slug text PRIMARY KEY CHECK (slug ~ '^[a-z0-9-]{1,63}$'),
        name text NOT NULL,
        scopes text[] NOT NULL,
        policy jsonb NOT NULL,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      );

      CREATE TABLE keys.consumer (
        slug text PRIMARY KEY CHECK (slug ~ '^[a-z0-9-]{1,63}$'),
        name text NOT NULL,
        contact text,
        metadata jsonb NOT NULL DEFAULT '{}',
        enabled boolean NOT NULL DEFAULT true,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      );

      -- version: raised by every change that a verification can see, those of the consumer included
      CREATE TABLE keys.key (
        id text PRIMARY KEY CHECK (id ~ '^key_[0-9A-Za-z]{16}$'),
        seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        name text NOT NULL,
        consumer text NOT NULL REFERENCES keys.consumer,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'revoked')),
        not_before timestamptz,
        expires_at timestamptz,
        rate_limits jsonb NOT NULL DEFAULT '[]',
        quota jsonb,
        ip_allowlist text[] NOT NULL DEFAULT '{}',
        tags text[] NOT NULL DEFAULT '{}',
        metadata jsonb NOT NULL DEFAULT '{}',
        origin text NOT NULL DEFAULT 'issued' CHECK (origin IN ('issued', 'imported')),
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz,
        revoked_at timestamptz,
        revocation_reason text,
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
      );
      CREATE INDEX key_by_consumer ON keys.key (consumer, seq DESC);
      CREATE INDEX key_held ON keys.key (consumer) WHERE state <> 'revoked';
      CREATE INDEX key_by_tag ON keys.key USING gin (tags);
      CREATE INDEX key_by_expiry ON keys.key (expires_at) WHERE expires_at IS NOT NULL;

      CREATE TABLE keys.key_grant (
        key_id text NOT NULL REFERENCES keys.key,
        service text NOT NULL REFERENCES keys.service,
        scopes text[] NOT NULL,
        PRIMARY KEY (key_id, service)
      );
      CREATE INDEX key_grant_by_service ON keys.key_grant (service, key_id);

      -- valid_until: null for the current secret; the end of the overlap for a previous one
      CREATE TABLE keys.secret (
        key_id text NOT NULL REFERENCES keys.key,
        number integer NOT NULL,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        pepper_version integer NOT NULL,
        prefix text NOT NULL,
        last4 text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        valid_until timestamptz,
        PRIMARY KEY (key_id, number)
      );
      CREATE UNIQUE INDEX secret_one_current ON keys.secret (key_id) WHERE valid_until IS NULL;

      CREATE TABLE keys.change_head (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), seq bigint NOT NULL);
      INSERT INTO keys.change_head (seq) VALUES (0);

      CREATE TABLE keys.change_log (
        seq bigint PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor text NOT NULL,
        via text,
        action text NOT NULL,
        target_type text NOT NULL,
        target_id text NOT NULL,
        key_version integer,
        services text[] NOT NULL DEFAULT '{}',
        before jsonb,
        after jsonb,
        request_id text,
        ip text
      );
      CREATE INDEX change_log_by_target ON keys.change_log (target_type, target_id, seq);

      CREATE FUNCTION keys.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION 'rows of the change log are never changed or removed' USING ERRCODE = '42501';
      END $$;
      CREATE TRIGGER change_log_is_append_only BEFORE UPDATE OR DELETE ON keys.change_log
        FOR EACH ROW EXECUTE FUNCTION keys.refuse_change();
      CREATE TRIGGER change_log_is_never_truncated BEFORE TRUNCATE ON keys.change_log
        FOR EACH STATEMENT EXECUTE FUNCTION keys.refuse_change();

      -- the epoch that cache entries must carry, and the run ids of the Redis servers that belong to it
      CREATE TABLE keys.cache_epoch (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        epoch bigint NOT NULL,
        run_ids text[] NOT NULL DEFAULT '{}'
      );
      INSERT INTO keys.cache_epoch (epoch) VALUES (1);

      -- what each replica has last read for certain; see docs/decisions on the fence
      CREATE TABLE keys.replica (
        id text PRIMARY KEY,
        read_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
      );

      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_key_service') THEN
          CREATE ROLE keyward_key_service NOLOGIN;
        END IF;
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END $$;
      GRANT USAGE ON SCHEMA keys TO keyward_key_service;
      GRANT SELECT, INSERT, UPDATE ON keys.service, keys.consumer, keys.key TO keyward_key_service;
      GRANT SELECT, INSERT, UPDATE, DELETE ON keys.key_grant, keys.secret, keys.replica TO keyward_key_service;
      GRANT SELECT, UPDATE ON keys.change_head, keys.cache_epoch TO keyward_key_service;
      GRANT SELECT, INSERT ON keys.change_log TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA keys CASCADE');
  }
}
