import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Schema `service_a`: the keys of service-a where it manages them itself. The role `keyward_service_a` may read and write rows, of
 * `event` only read and add. `pepper` holds those that came with exports, sealed; version 1 is the service's own and is in no row.
 */
export class ServiceA1700000004110 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE SCHEMA service_a;

      CREATE TABLE service_a.key (
        id text PRIMARY KEY CHECK (id ~ '^key_[0-9A-Za-z]{16}$'),
        seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        name text NOT NULL,
        consumer text NOT NULL,
        environment text NOT NULL CHECK (environment IN ('live', 'test')),
        scopes text[] NOT NULL,
        state text NOT NULL CHECK (state IN ('active', 'disabled', 'revoked')),
        not_before timestamptz,
        expires_at timestamptz,
        rate_limits jsonb NOT NULL,
        ip_allowlist text[] NOT NULL,
        tags text[] NOT NULL,
        metadata jsonb NOT NULL,
        origin text NOT NULL CHECK (origin IN ('issued', 'imported')),
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revocation_reason text,
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
      );

      CREATE TABLE service_a.pepper (
        version integer GENERATED ALWAYS AS IDENTITY (START WITH 2) PRIMARY KEY,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      );

      CREATE TABLE service_a.secret (
        key_id text NOT NULL REFERENCES service_a.key,
        number integer NOT NULL,
        digest bytea NOT NULL CHECK (octet_length(digest) = 32),
        pepper_version integer NOT NULL,
        prefix text NOT NULL,
        last4 text NOT NULL,
        created_at timestamptz NOT NULL,
        valid_until timestamptz,
        PRIMARY KEY (key_id, number)
      );
      CREATE UNIQUE INDEX secret_one_current ON service_a.secret (key_id) WHERE valid_until IS NULL;

      CREATE TABLE service_a.event (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor text NOT NULL,
        action text NOT NULL,
        key_id text NOT NULL,
        detail jsonb NOT NULL
      );

      DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_service_a') THEN
          CREATE ROLE keyward_service_a NOLOGIN;
        END IF;
      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
      END $$;
      GRANT USAGE ON SCHEMA service_a TO keyward_service_a;
      GRANT SELECT, INSERT, UPDATE ON service_a.key TO keyward_service_a;
      GRANT SELECT, INSERT, UPDATE, DELETE ON service_a.secret TO keyward_service_a;
      GRANT SELECT, INSERT ON service_a.pepper, service_a.event TO keyward_service_a;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP SCHEMA service_a CASCADE');
  }
}
