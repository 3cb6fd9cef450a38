import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Keys that other platforms have made: where they come from, and their hashes until they are first used. A hash is kept sealed
 * and is found by a keyed digest, so that whoever reads the database cannot try guesses against it, and a row that somebody
 * else has put there opens nothing. `pepper_version` 0 of a secret means that its digest is not made yet: it equals none.
 * `secret.portable`: a sealed digest for exports.
 */
export class Imports1700000004100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.secret ADD COLUMN portable bytea;

      CREATE TABLE keys.import (
        id text PRIMARY KEY CHECK (id ~ '^imp_[0-9A-Za-z]{16}$'),
        service text NOT NULL REFERENCES keys.service,
        source text NOT NULL,
        mode text NOT NULL CHECK (mode IN ('shadow', 'dual', 'cutover')),
        sealed_scheme bytea NOT NULL,
        scheme_digest bytea NOT NULL CHECK (octet_length(scheme_digest) = 32),
        algorithm text NOT NULL,
        pepper_version integer NOT NULL,
        version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (service, source)
      );

      -- request: keyed digest of the item as it was sent; kept for good, so that a repetition finds its key
      CREATE TABLE keys.imported_key (
        import_id text NOT NULL REFERENCES keys.import,
        item text NOT NULL,
        key_id text NOT NULL UNIQUE REFERENCES keys.key,
        request bytea NOT NULL CHECK (octet_length(request) = 32),
        weak boolean NOT NULL,
        upgraded_at timestamptz,
        PRIMARY KEY (import_id, item)
      );

      -- salted: several keys may have one lookup; sealed: null once the secret has a digest of our own
      CREATE TABLE keys.legacy_secret (
        key_id text PRIMARY KEY,
        number integer NOT NULL,
        import_id text NOT NULL REFERENCES keys.import,
        lookup bytea NOT NULL CHECK (octet_length(lookup) = 32),
        salted boolean NOT NULL,
        sealed bytea,
        FOREIGN KEY (key_id, number) REFERENCES keys.secret ON DELETE CASCADE
      );
      CREATE UNIQUE INDEX legacy_secret_by_digest ON keys.legacy_secret (lookup) WHERE NOT salted;
      CREATE INDEX legacy_secret_by_locator ON keys.legacy_secret (lookup) WHERE salted;

      CREATE TABLE keys.import_parity (
        service text NOT NULL REFERENCES keys.service,
        key_id text NOT NULL,
        old_code text NOT NULL,
        central_code text NOT NULL,
        count bigint NOT NULL CHECK (count > 0),
        first_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        PRIMARY KEY (service, key_id, old_code, central_code)
      );
      CREATE TABLE keys.parity_batch (
        service text NOT NULL,
        id uuid NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (service, id)
      );
      CREATE INDEX parity_batch_by_time ON keys.parity_batch (at);

      GRANT SELECT, INSERT, UPDATE ON keys.import, keys.imported_key, keys.import_parity TO keyward_key_service;
      GRANT SELECT, INSERT, UPDATE, DELETE ON keys.legacy_secret TO keyward_key_service;
      GRANT SELECT, INSERT, DELETE ON keys.parity_batch TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE keys.parity_batch, keys.import_parity, keys.legacy_secret, keys.imported_key, keys.import;
      ALTER TABLE keys.secret DROP COLUMN portable;
    `);
  }
}
