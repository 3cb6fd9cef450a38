import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Usage: counts of verifications by minute, hour and day, in partitions by time, and when keys and secrets were last used.
 *
 * The role of the key service writes rows; partitions it makes and drops only through `keys.keep_usage_partitions`. An hour
 * that is listed in `usage_stale_hour` has counts that its row in `usage_hour` does not hold yet, a day in
 * `usage_stale_day` likewise; the views `usage_by_hour` and `usage_by_day` are exact at any time. A secret with `ended` is
 * dead whatever the clock of who looks.
 */
export class Usage1700000003030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.key SET (fillfactor = 80);
      ALTER TABLE keys.secret SET (fillfactor = 80);
      ALTER TABLE keys.secret ADD COLUMN last_used_at timestamptz, ADD COLUMN ended boolean NOT NULL DEFAULT false,
        ADD CHECK (NOT ended OR valid_until IS NOT NULL);

      -- key_id '': no key is known; secret 0: which secret is not known; superseded: presented after it had been replaced
      CREATE TABLE keys.usage_minute (
        at timestamptz NOT NULL,
        key_id text NOT NULL,
        service text NOT NULL,
        secret integer NOT NULL,
        superseded boolean NOT NULL,
        code text NOT NULL,
        count bigint NOT NULL CHECK (count > 0),
        PRIMARY KEY (key_id, at, service, secret, superseded, code)
      ) PARTITION BY RANGE (at);
      CREATE INDEX usage_minute_by_time ON keys.usage_minute (at, service);

      CREATE TABLE keys.usage_hour (LIKE keys.usage_minute INCLUDING ALL) PARTITION BY RANGE (at);
      CREATE TABLE keys.usage_day (LIKE keys.usage_minute INCLUDING ALL) PARTITION BY RANGE (at);
      CREATE TABLE keys.usage_stale_hour (at timestamptz PRIMARY KEY);
      CREATE TABLE keys.usage_stale_day (at timestamptz PRIMARY KEY);

      -- each process that counts: its last batch, and up to when all that it counted is written (by the clock of the database)
      CREATE TABLE keys.usage_writer (
        id uuid PRIMARY KEY,
        batch bigint NOT NULL,
        counted_to timestamptz NOT NULL
      );

      -- batches of guards that were taken, for as long as one may be sent again
      CREATE TABLE keys.usage_batch (
        service text NOT NULL,
        id uuid NOT NULL,
        accepted integer NOT NULL,
        ignored integer NOT NULL,
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (service, id)
      );
      CREATE INDEX usage_batch_by_time ON keys.usage_batch (at);

      CREATE VIEW keys.usage_by_hour AS
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_hour
          WHERE at NOT IN (SELECT at FROM keys.usage_stale_hour)
        UNION ALL
        SELECT h.at, m.key_id, m.service, m.secret, m.superseded, m.code, m.count
          FROM keys.usage_stale_hour h JOIN keys.usage_minute m ON m.at >= h.at AND m.at < h.at + interval '1 hour';

      CREATE VIEW keys.usage_by_day AS
        WITH stale AS (
          SELECT at FROM keys.usage_stale_day UNION SELECT date_trunc('day', at, 'UTC') FROM keys.usage_stale_hour
        )
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_day
          WHERE at NOT IN (SELECT at FROM stale)
        UNION ALL
        SELECT d.at, h.key_id, h.service, h.secret, h.superseded, h.code, h.count
          FROM stale d JOIN keys.usage_by_hour h ON h.at >= d.at AND h.at < d.at + interval '24 hours';
    `);
    await runner.query(KEEP_PARTITIONS);
    await runner.query(`
      GRANT SELECT, INSERT, UPDATE ON keys.usage_minute, keys.usage_hour, keys.usage_day TO keyward_key_service;
      GRANT SELECT, INSERT, DELETE ON keys.usage_stale_hour, keys.usage_stale_day, keys.usage_batch TO keyward_key_service;
      GRANT SELECT, INSERT, UPDATE, DELETE ON keys.usage_writer TO keyward_key_service;
      GRANT SELECT ON keys.usage_by_hour, keys.usage_by_day TO keyward_key_service;
      REVOKE ALL ON FUNCTION keys.keep_usage_partitions(timestamptz, timestamptz) FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION keys.keep_usage_partitions(timestamptz, timestamptz) TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP FUNCTION keys.keep_usage_partitions(timestamptz, timestamptz);
      DROP VIEW keys.usage_by_day, keys.usage_by_hour;
      DROP TABLE keys.usage_minute, keys.usage_hour, keys.usage_day, keys.usage_stale_hour, keys.usage_stale_day,
        keys.usage_writer, keys.usage_batch;
      ALTER TABLE keys.secret DROP COLUMN last_used_at, DROP COLUMN ended;
      ALTER TABLE keys.key RESET (fillfactor);
      ALTER TABLE keys.secret RESET (fillfactor);
    `);
  }
}

/**
 * Makes the partitions for all times from `first_at` to `last_at`, at most 40 days apart, and drops those of minutes that ended
 * 14 days and of hours that ended 400 days before now, or before `first_at` where that is earlier. Days are kept. It takes the
 * locks that inserts wait for only where something is to be dropped, and then gives up after a second.
 */
const KEEP_PARTITIONS = `
  CREATE FUNCTION keys.keep_usage_partitions(first_at timestamptz, last_at timestamptz) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
  DECLARE
    part record;
  BEGIN
    IF last_at < first_at OR last_at - first_at > interval '40 days' THEN
      RAISE EXCEPTION 'first_at and last_at must be in order and at most 40 days apart' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(7259310042);
    FOR part IN
      SELECT 'usage_minute' AS parent, 'usage_minute_' || to_char(day, 'YYYYMMDD') AS name,
          day AS starts, day + interval '1 day' AS ends
        FROM generate_series(date_trunc('day', first_at), last_at, interval '1 day') AS day
      UNION ALL
      SELECT parent, parent || '_' || to_char(month, 'YYYYMM'), month, month + interval '1 month'
        FROM generate_series(date_trunc('month', first_at), last_at, interval '1 month') AS month,
          unnest(ARRAY['usage_hour', 'usage_day']) AS parent
    LOOP
      CONTINUE WHEN to_regclass('keys.' || part.name) IS NOT NULL;
      -- made apart and then attached: that does not keep anyone from inserting into the others
      EXECUTE format('CREATE TABLE keys.%I (LIKE keys.%I INCLUDING ALL) WITH (fillfactor = 70)', part.name, part.parent);
      EXECUTE format('ALTER TABLE keys.%I ATTACH PARTITION keys.%I FOR VALUES FROM (%L) TO (%L)',
        part.parent, part.name, part.starts, part.ends);
    END LOOP;

    FOR part IN
      SELECT child.relname AS name FROM pg_inherits
        JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent
      WHERE parent.relnamespace = 'keys'::regnamespace AND
        CASE parent.relname
          WHEN 'usage_minute' THEN
            to_date(right(child.relname, 8), 'YYYYMMDD') + interval '1 day' < least(first_at, now()) - interval '14 days'
          WHEN 'usage_hour' THEN
            to_date(right(child.relname, 6), 'YYYYMM') + interval '1 month' < least(first_at, now()) - interval '400 days'
        END
    LOOP
      BEGIN
        PERFORM set_config('lock_timeout', '1s', true);
        EXECUTE format('DROP TABLE keys.%I', part.name);
      EXCEPTION WHEN lock_not_available THEN
        RETURN;
      END;
    END LOOP;
  END $$`;
