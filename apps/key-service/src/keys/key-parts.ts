import type { EntityManager } from 'typeorm';
import type { Grant } from '#contracts';
import type { KeyRow } from './key.entity.js';
import type { SecretEntity } from './secret.entity.js';

/** What is shown of a key and is not in its own row. */
export interface KeyParts {
  /** By service. */
  grants: Grant[];
  /** The current one first. */
  secrets: ShownSecret[];
}

/** All that is shown of a secret, and all that the index on the place holds of it: nothing else is read. */
export type ShownSecret = Pick<SecretEntity, 'prefix' | 'last4' | 'validUntil' | 'ended'>;

type Row = KeyRow & { seq?: string };

/**
 * The parts of some keys, by key. They are looked up by the keys' place in order of creation where it is known: what was made at about
 * the same time lies together, while by the ids, which are random, each key has pages of its own among a million.
 */
export async function partsOf(
  manager: EntityManager,
  rows: readonly Row[],
): Promise<(row: Row) => KeyParts> {
  const isPlaced = rows.every((row) => row.seq !== undefined);
  const nameOf = (row: Row) => (isPlaced ? row.seq! : row.id);
  const [column, type] = isPlaced ? ['key_seq', 'bigint'] : ['key_id', 'text'];
  const select = async <Part>(columns: string, table: string, order: string) => {
    const found = await manager.query<(Part & { of: string })[]>(
      `SELECT ${column} AS of, ${columns} FROM ${table} WHERE ${column} = ANY ($1::${type}[]) ORDER BY ${order}`,
      [rows.map(nameOf)],
    );
    return grouped(found);
  };
  const grants = await select<Grant>('service, scopes', 'keys.key_grant', 'service');
  const secrets = await select<ShownSecret>(
    'prefix, last4, valid_until AS "validUntil", ended',
    'keys.secret',
    'number DESC',
  );
  return (row) => ({
    grants: grants.get(nameOf(row)) ?? [],
    secrets: secrets.get(nameOf(row)) ?? [],
  });
}

function grouped<Part extends { of: string }>(found: readonly Part[]): Map<string, Part[]> {
  const groups = new Map<string, Part[]>();
  for (const one of found) {
    const group = groups.get(one.of);
    if (group === undefined) groups.set(one.of, [one]);
    else group.push(one);
  }
  return groups;
}
