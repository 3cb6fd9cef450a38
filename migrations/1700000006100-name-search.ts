import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `keys.seqs_named`: numbers of the keys whose names fit a pattern, `most` at most. It reads the trigrams whatever the planner
 * thinks of how many fit: it cannot know, and reads a million keys in their order where it thinks many.
 */
export class NameSearch1700000006100 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION keys.seqs_named(pattern text, most integer) RETURNS SETOF bigint
        LANGUAGE sql STABLE ROWS 200 SET enable_seqscan = off SET enable_indexscan = off
        AS $$ SELECT seq FROM keys.key WHERE name ILIKE pattern LIMIT most $$;
      REVOKE ALL ON FUNCTION keys.seqs_named(text, integer) FROM PUBLIC;
      GRANT EXECUTE ON FUNCTION keys.seqs_named(text, integer) TO keyward_key_service;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION keys.seqs_named(text, integer)');
  }
}
