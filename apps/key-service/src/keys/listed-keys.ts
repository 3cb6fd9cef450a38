import type { EntityManager, SelectQueryBuilder } from 'typeorm';
import { KeyEntity } from './key.entity.js';

/** A key of a list, and the place in the list's order that a page goes on after. */
export interface ListedKey {
  key: KeyEntity;
  place: string;
}

/** The first keys of a list that selects the `place` of each. */
export async function firstOf(
  select: SelectQueryBuilder<KeyEntity>,
  wanted: number,
): Promise<ListedKey[]> {
  const { entities, raw } = await select.limit(wanted).getRawAndEntities<{ place: string }>();
  return entities.map((key, index) => ({ key, place: raw[index]!.place }));
}

/** The same of rows that came another way, with the columns that such a selection names. */
export function listedOf(
  { dataSource }: EntityManager,
  rows: readonly Record<string, unknown>[],
): ListedKey[] {
  const { columns } = dataSource.getMetadata(KeyEntity);
  return rows.map((row) => {
    const key = new KeyEntity();
    for (const column of columns) {
      const value: unknown = row[`key_${column.databaseName}`];
      column.setEntityValue(key, dataSource.driver.prepareHydratedValue(value, column));
    }
    return { key, place: row['place'] as string };
  });
}
