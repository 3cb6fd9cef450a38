import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import type { KeyEntity } from './key.entity.js';

/** How many keys of a list are looked at in its order before the trigrams are asked. */
const NEAR = 500;
/** Where more names fit than this the list is read in its order after all: the page is near. */
const MOST = 5_000;

/**
 * Narrows a list of keys, which is in its order already, to those that a text finds: an id is looked up; anything else is part
 * of a name, and, where it can be, the last characters of a secret.
 *
 * What fits many keys is soon found in the list's own order, what fits few by the trigrams of the names, and nobody knows
 * beforehand which it is. So the first {@link NEAR} of the list are looked at; only where they are not enough, and there are more,
 * all that fit are looked up. Either way the cost does not grow with the number of keys.
 *
 * @param wanted rows of a page, and one to know whether another follows
 */
export async function searchKeys(
  manager: EntityManager,
  select: SelectQueryBuilder<KeyEntity>,
  { q, wanted }: { q: string; wanted: number },
): Promise<void> {
  if (/^key_[0-9A-Za-z]{16}$/.test(q)) {
    select.andWhere('key.id = :q', { q });
    return;
  }
  const text: Text = { part: `%${q.replaceAll(/[\\%_]/g, '\\$&')}%`, hint: hintIn(q) };
  const near = await findNear(manager, select, { ...text, wanted });
  const isEnough = near.found.length >= wanted || near.walked < NEAR;
  const found = isEnough ? near.found : await findAll(manager, text);
  if (found.length > MOST) select.andWhere(`(${fits('key')})`, text);
  else select.andWhere('key.seq = ANY (:found)', { found });
}

interface Text {
  /** Pattern of names. */
  part: string;
  /** Last characters of a secret, null where it can be none. */
  hint: string | null;
}

function hintIn(q: string): string | null {
  return /^[0-9A-Za-z]{4}$/.test(q) ? q : null;
}

/** @param row where the columns of a key are, of which the name is `name` and the id `id` */
function fits(row: string, [part, hint] = [':part', ':hint']): string {
  return `${row}.name ILIKE ${part} OR ${row}.id = ANY (ARRAY(SELECT s.key_id FROM keys.secret s WHERE s.last4 = ${hint}))`;
}

/** The first that are found among the first of a list, and how many were looked at where those are fewer than wanted. */
async function findNear(
  manager: EntityManager,
  select: SelectQueryBuilder<KeyEntity>,
  { part, hint, wanted }: Text & { wanted: number },
): Promise<{ walked: number; found: string[] }> {
  const [list, values] = select.clone().limit(NEAR).getQueryAndParameters();
  const [$part, $hint, $wanted] = [1, 2, 3].map((more) => `$${values.length + more}`) as [
    string,
    string,
    string,
  ];
  // what nothing asks for any more is not read: a page of names that are common ends after its own rows
  const [row] = await manager.query<[{ walked: number; found: string[] }]>(
    `WITH near AS MATERIALIZED (SELECT key_seq AS seq, key_id AS id, key_name AS name FROM (${list}) AS list),
       found AS MATERIALIZED (SELECT ARRAY(SELECT seq FROM near WHERE ${fits('near', [$part, $hint])} LIMIT ${$wanted}) AS seqs)
     SELECT seqs AS found, CASE WHEN cardinality(seqs) < ${$wanted} THEN (SELECT count(*)::int FROM near) ELSE ${$wanted}::int END AS walked
     FROM found`,
    [...values, part, hint, wanted],
  );
  return row;
}

async function findAll(manager: EntityManager, { part, hint }: Text): Promise<string[]> {
  const [row] = await manager.query<[{ found: string[] }]>(
    `SELECT ARRAY(
       SELECT keys.seqs_named($1, $2) UNION
       SELECT k.seq FROM keys.secret s JOIN keys.key k ON k.id = s.key_id WHERE s.last4 = $3
     ) AS found`,
    [part, MOST + 1, hint],
  );
  return row.found;
}
