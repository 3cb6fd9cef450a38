import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Schema `login`: people, their sessions with refresh tokens, service accounts and signing keys. Of passwords, refresh tokens
 * and client secrets there are only hashes; private signing keys are sealed. The role `keyward_login` may read and write
 * rows, but neither change the schema nor remove a person.
 */
export class Login1700000001000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE SCHEMA login;

      -- services: null for an admin who is not limited to some
      -- version: raised by every change but those that a login makes itself (rehash, failures)
      CREATE TABLE login.user (
        id text PRIMARY KEY CHECK (id ~ '^usr_[0-9A-Za-z]{16}$'),
        seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        username text NOT NULL UNIQUE CHECK (username ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
        password_hash text NOT NULL,
        roles text[] NOT NULL CHECK (cardinality(roles) > 0 AND roles <@ '{admin,auditor,user}'),
        services text[],
        enabled boolean NOT NULL DEFAULT true,
        failures integer NOT NULL DEFAULT 0,
        failed_at timestamptz,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      );

      -- a family of refresh tokens: what began with one login
      CREATE TABLE login.session (
        id text PRIMARY KEY CHECK (id ~ '^ses_[0-9A-Za-z]{16}$'),
        user_id text NOT NULL REFERENCES login.user,
        ip text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        end_reason text,
        CHECK ((ended_at IS NULL) = (end_reason IS NULL))
      );
      CREATE INDEX session_by_user ON login.session (user_id);
      CREATE INDEX session_by_expiry ON login.session (expires_at);

      CREATE TABLE login.refresh_token (
        digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
        session_id text NOT NULL REFERENCES login.session ON DELETE CASCADE,
        parent bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        used_at timestamptz
      );
      CREATE INDEX refresh_token_by_session ON login.refresh_token (session_id);

      CREATE TABLE login.client (
        client_id text PRIMARY KEY CHECK (client_id ~ '^[a-z0-9-]{1,63}$'),
        seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        name text NOT NULL,
        scopes text[] NOT NULL,
        audiences text[] NOT NULL CHECK (cardinality(audiences) > 0),
        enabled boolean NOT NULL DEFAULT true,
        secret_digest bytea NOT NULL CHECK (octet_length(secret_digest) = 32),
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
      );

      -- next: published, not used yet; current: signs; retired: published until the last token signed with it has expired
      CREATE TABLE login.signing_key (
        kid text PRIMARY KEY,
        algorithm text NOT NULL CHECK (algorithm = 'ES256'),
        state text NOT NULL CHECK (state IN ('next', 'current', 'retired')),
        public_jwk jsonb NOT NULL,
        private_sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        retired_at timestamptz,
        CHECK ((state = 'retired') = (retired_at IS NOT NULL))
      );
      CREATE UNIQUE INDEX signing_key_one_in_use ON login.signing_key (state) WHERE state <> 'retired';

      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_login') THEN
          CREATE ROLE keyward_login NOLOGIN;
        END IF;
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END $$;
      GRANT USAGE ON SCHEMA login TO keyward_login;
      GRANT SELECT, INSERT, UPDATE ON login.user TO keyward_login;
      GRANT SELECT, INSERT, UPDATE, DELETE ON login.session, login.refresh_token, login.client,
        login.signing_key TO keyward_login;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA login CASCADE');
  }
}
