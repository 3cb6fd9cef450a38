import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Counts of usage are first written to a journal, a row for each batch, and from there added to the minutes, many batches at a
 * time. Who reads usage reads the views, which are exact at any time: a row of the journal is either pending or counted.
 */
export class UsageJournal1700000006400 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      -- Each entry is of a kind, which most entries of a batch have in common. Its place among the kinds counts from 1; its
      -- last use is in milliseconds after the start of the kind's minute; a count of 0 is only a last use.
      CREATE TABLE keys.usage_journal (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- when the oldest of it was written
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        -- its counts are among the minutes, its last uses not yet for certain among the keys
        counted boolean NOT NULL DEFAULT false,
        minutes integer[] NOT NULL,
        services text[] NOT NULL,
        secrets integer[] NOT NULL,
        superseded boolean[] NOT NULL,
        codes text[] NOT NULL,
        kinds integer[] NOT NULL,
        key_ids text[] NOT NULL,
        counts bigint[] NOT NULL,
        lasts integer[] NOT NULL
      );
      -- they live for seconds: compressing them costs more than it saves
      ALTER TABLE keys.usage_journal ALTER kinds SET STORAGE EXTERNAL, ALTER key_ids SET STORAGE EXTERNAL,
        ALTER counts SET STORAGE EXTERNAL, ALTER lasts SET STORAGE EXTERNAL;

      -- one row: when the journal is next to be emptied, and by whom does not matter
      CREATE TABLE keys.usage_fold (next_at timestamptz NOT NULL);
      INSERT INTO keys.usage_fold VALUES (now());

      CREATE VIEW keys.usage_pending AS
        SELECT to_timestamp(j.minutes[e.kind] * 60.0) AS at, e.key_id, j.services[e.kind] AS service, j.secrets[e.kind] AS secret,
          j.superseded[e.kind] AS superseded, j.codes[e.kind] AS code, e.count
        FROM keys.usage_journal j, unnest(j.kinds, j.key_ids, j.counts) AS e (kind, key_id, count) WHERE NOT j.counted;

      CREATE VIEW keys.usage_by_minute AS
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_minute
        UNION ALL
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_pending;

      ALTER VIEW keys.usage_by_hour RENAME TO usage_folded_by_hour;
      ALTER VIEW keys.usage_by_day RENAME TO usage_folded_by_day;
      CREATE VIEW keys.usage_by_hour AS
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_folded_by_hour
        UNION ALL
        SELECT date_trunc('hour', at, 'UTC'), key_id, service, secret, superseded, code, count FROM keys.usage_pending;
      CREATE VIEW keys.usage_by_day AS
        SELECT at, key_id, service, secret, superseded, code, count FROM keys.usage_folded_by_day
        UNION ALL
        SELECT date_trunc('day', at, 'UTC'), key_id, service, secret, superseded, code, count FROM keys.usage_pending;

      GRANT SELECT, INSERT, UPDATE, DELETE ON keys.usage_journal TO keyward_key_service;
      GRANT SELECT, UPDATE ON keys.usage_fold TO keyward_key_service;
      GRANT SELECT ON keys.usage_by_minute, keys.usage_by_hour, keys.usage_by_day TO keyward_key_service;
    `);
  }

  /** What is in the journal is folded first: no count and no last use is lost. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      LOCK TABLE keys.usage_journal IN ACCESS EXCLUSIVE MODE;

      SELECT keys.keep_usage_partitions(day, day) FROM (SELECT DISTINCT date_trunc('day', at, 'UTC') AS day FROM keys.usage_pending) AS days;

      -- as who writes minutes does: the hours are not summed meanwhile, and summed again after it
      SELECT pg_advisory_xact_lock_shared(7259310, hour)
        FROM (SELECT DISTINCT floor(extract(epoch FROM at) / 3600)::int AS hour FROM keys.usage_pending ORDER BY 1) AS hours;
      INSERT INTO keys.usage_stale_hour (at) SELECT DISTINCT date_trunc('hour', at, 'UTC') FROM keys.usage_pending ORDER BY 1
        ON CONFLICT DO NOTHING;
      INSERT INTO keys.usage_minute AS u (at, key_id, service, secret, superseded, code, count)
        SELECT at, key_id, service, secret, superseded, code, sum(count) FROM keys.usage_pending GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (key_id, at, service, secret, superseded, code) DO UPDATE SET count = u.count + excluded.count;

      CREATE TEMPORARY TABLE used ON COMMIT DROP AS
        SELECT e.key_id, j.secrets[e.kind] AS secret, max(to_timestamp(j.minutes[e.kind] * 60.0 + e.last / 1000.0)) AS at
        FROM keys.usage_journal j, unnest(j.kinds, j.key_ids, j.lasts) AS e (kind, key_id, last)
        WHERE j.codes[e.kind] = 'VALID' GROUP BY 1, 2;
      UPDATE keys.key k SET last_used_at = u.at FROM (SELECT key_id, max(at) AS at FROM used GROUP BY key_id) AS u
        WHERE k.id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.at);
      UPDATE keys.secret s SET last_used_at = u.at FROM used u
        WHERE s.key_id = u.key_id AND s.number = u.secret AND (s.last_used_at IS NULL OR s.last_used_at < u.at);
      DROP TABLE used;

      DROP VIEW keys.usage_by_day, keys.usage_by_hour, keys.usage_by_minute, keys.usage_pending;
      ALTER VIEW keys.usage_folded_by_day RENAME TO usage_by_day;
      ALTER VIEW keys.usage_folded_by_hour RENAME TO usage_by_hour;
      DROP TABLE keys.usage_journal, keys.usage_fold;
    `);
  }
}
