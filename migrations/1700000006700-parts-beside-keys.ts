import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A key's row repeats what is shown of its grants and secrets, so that a page of a list reads nothing but the rows of its keys:
 * `grants` by service, the hint of the current secret, and the end of the one before. `repeat_parts` is the one place that puts them
 * there, and triggers call it; who makes a key says them with its row, and then nothing is left to be written. Of what a key has none
 * at the moment, as while it is made, the row stays as it is. The next migration does the same for keys that are there already.
 */
export class PartsBesideKeys1700000006700 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE keys.key ADD COLUMN grants jsonb, ADD COLUMN hint_prefix text, ADD COLUMN hint_last4 text,
        ADD COLUMN previous_until timestamptz, ADD COLUMN previous_ended boolean;

      CREATE FUNCTION keys.repeat_parts(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        -- who changes the same keys at the same time is waited for, and what was changed is seen by the next statement
        PERFORM FROM keys.key WHERE id = ANY (ids) ORDER BY seq FOR NO KEY UPDATE;
        UPDATE keys.key k
        SET grants = p.grants, hint_prefix = p.prefix, hint_last4 = p.last4, previous_until = p.until, previous_ended = p.ended
        FROM (
          SELECT f.id, coalesce(g.grants, f.grants) AS grants, coalesce(c.prefix, f.hint_prefix) AS prefix,
            coalesce(c.last4, f.hint_last4) AS last4, o.valid_until AS until, o.ended
          FROM keys.key f
            CROSS JOIN LATERAL (
              SELECT jsonb_agg(jsonb_build_object('service', service, 'scopes', scopes) ORDER BY service COLLATE "C") AS grants
              FROM keys.key_grant WHERE key_id = f.id
            ) g
            LEFT JOIN LATERAL (
              SELECT prefix, last4 FROM keys.secret WHERE key_id = f.id ORDER BY number DESC LIMIT 1
            ) c ON true
            LEFT JOIN LATERAL (
              SELECT valid_until, ended FROM keys.secret WHERE key_id = f.id ORDER BY number DESC LIMIT 1 OFFSET 1
            ) o ON true
          WHERE f.id = ANY (ids) ORDER BY f.seq -- what is written together then lies in this order
        ) p
        WHERE k.id = p.id AND (k.grants, k.hint_prefix, k.hint_last4, k.previous_until, k.previous_ended)
          IS DISTINCT FROM (p.grants, p.prefix, p.last4, p.until, p.ended);
      END $$;

      CREATE FUNCTION keys.parts_added() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM keys.repeat_parts(ARRAY(SELECT DISTINCT key_id FROM added));
        RETURN NULL;
      END $$;
      CREATE FUNCTION keys.part_changed() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM keys.repeat_parts(ARRAY[OLD.key_id]);
        RETURN NULL;
      END $$;
      CREATE TRIGGER grants_added AFTER INSERT ON keys.key_grant REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION keys.parts_added();
      CREATE TRIGGER grant_changed AFTER UPDATE OR DELETE ON keys.key_grant
        FOR EACH ROW EXECUTE FUNCTION keys.part_changed();
      CREATE TRIGGER secrets_added AFTER INSERT ON keys.secret REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION keys.parts_added();
      CREATE TRIGGER secret_changed AFTER UPDATE OF number, prefix, last4, valid_until, ended OR DELETE ON keys.secret
        FOR EACH ROW EXECUTE FUNCTION keys.part_changed();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER secret_changed ON keys.secret;
      DROP TRIGGER secrets_added ON keys.secret;
      DROP TRIGGER grant_changed ON keys.key_grant;
      DROP TRIGGER grants_added ON keys.key_grant;
      DROP FUNCTION keys.part_changed(), keys.parts_added(), keys.repeat_parts(text[]);
      ALTER TABLE keys.key DROP COLUMN grants, DROP COLUMN hint_prefix, DROP COLUMN hint_last4,
        DROP COLUMN previous_until, DROP COLUMN previous_ended;
    `);
  }
}
