import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import type { KeyEntity } from './key.entity.js';
import { firstOf, listedOf, type ListedKey } from './listed-keys.js';

/** How many keys of a list are looked at in its order before the trigrams are asked. */
const NEAR = 500;
/** Where more names fit than this the list is read in its order after all: the page is near. */
const MOST = 5_000;

/** A list of keys, which is in its order already, and what is looked for in it. */
interface Search {
  select: SelectQueryBuilder<KeyEntity>;
  q: string;
  /** Rows of a page, and one to know whether another follows. */
  wanted: number;
}

/**
 * The first of a list of keys that a text finds: an id is looked up; anything else is part of a name, and, where it can be, the
 * last characters of a secret.
 *
 * What fits many keys is soon found in the list's own order, what fits few by the trigrams of the names, and nobody knows
 * beforehand which it is. So the first {@link NEAR} of the list are looked at; only where they are not enough, and there are more,
 * all that fit are looked up. Either way the cost does not grow with the number of keys, and a page that is near takes no statement
 * more than one of a list.
 */
export async function searchKeys(manager: EntityManager, search: Search): Promise<ListedKey[]> {
  const { select, q, wanted } = search;
  if (/^key_[0-9A-Za-z]{16}$/.test(q))
    return firstOf(select.andWhere('key.id = :q', { q }), wanted);
  const text: Text = { part: `%${q.replaceAll(/[\\%_]/g, '\\$&')}%`, hint: hintIn(q) };
  const near = await findNear(manager, search, text);
  if (near.length >= wanted) return near;
  const found = await findAll(manager, select, text);
  if (found === null) return near;
  if (found.length === 0) return [];
  if (found.length > MOST)
    select.andWhere(`(${fits('key.', ':part', text.hint && ':hint')})`, text);
  else select.andWhere('key.seq = ANY (:found)', { found });
  return firstOf(select, wanted);
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

/**
 * @param columns what the name and the id of a key begin with
 * @param hint null where it can be none: then nothing is planned for it either
 */
function fits(columns: string, part: string, hint: string | null): string {
  const isNamed = `${columns}name ILIKE ${part}`;
  if (hint === null) return isNamed;
  return `${isNamed} OR ${columns}id = ANY (ARRAY(SELECT s.key_id FROM keys.secret s WHERE s.last4 = ${hint}))`;
}

/** Those that are found among the first of a list. What is not asked for is not read: a page of names that are common ends after its own rows. */
async function findNear(
  manager: EntityManager,
  { select, wanted }: Search,
  { part, hint }: Text,
): Promise<ListedKey[]> {
  const { list, values, next } = startOf(select);
  const [$part, $wanted, $hint] = next;
  const rows = await manager.query<Record<string, unknown>[]>(
    `SELECT * FROM (${list}) AS listed WHERE ${fits('key_', $part, hint && $hint)} LIMIT ${$wanted}`,
    [...values, part, wanted, ...(hint === null ? [] : [hint])],
  );
  return listedOf(manager.dataSource, rows);
}

/** Numbers of all that fit, of any list; null where a list has no more than was looked at, before anything is looked up. */
async function findAll(
  manager: EntityManager,
  select: SelectQueryBuilder<KeyEntity>,
  { part, hint }: Text,
): Promise<string[] | null> {
  const { list, values, next } = startOf(select);
  const [$part, $hint, $most] = next;
  const [row] = await manager.query<[{ found: string[] | null }]>(
    `SELECT CASE WHEN (SELECT count(*) FROM (${list}) AS listed) >= ${NEAR} THEN ARRAY(
       SELECT keys.seqs_named(${$part}, ${$most}) UNION
       SELECT k.seq FROM keys.secret s JOIN keys.key k ON k.id = s.key_id WHERE s.last4 = ${$hint}
     ) END AS found`,
    [...values, part, hint, MOST + 1],
  );
  return row.found;
}

/** The statement that reads the first of a list, its parameters, and the names of three more. */
function startOf(select: SelectQueryBuilder<KeyEntity>) {
  const [list, values] = select.clone().limit(NEAR).getQueryAndParameters();
  const next = [1, 2, 3].map((more) => `$${values.length + more}`) as [string, string, string];
  return { list, values, next };
}
