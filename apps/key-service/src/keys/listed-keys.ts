import type { DataSource, SelectQueryBuilder } from 'typeorm';
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
  return listedOf(select.dataSource, await select.limit(wanted).getRawMany());
}

/** The keys of rows with the columns that such a selection names. */
export function listedOf(
  dataSource: DataSource,
  rows: readonly Record<string, unknown>[],
): ListedKey[] {
  const columns = dataSource
    .getMetadata(KeyEntity)
    .columns.map((column) => ({ column, name: `key_${column.databaseName}` }));
  return rows.map((row) => {
    const key = new KeyEntity();
    for (const { column, name } of columns)
      column.setEntityValue(key, dataSource.driver.prepareHydratedValue(row[name], column));
    return { key, place: row['place'] as string };
  });
}
