import { ConflictException } from '@nestjs/common';
import type { EntityManager, EntityTarget, ObjectLiteral } from 'typeorm';

/**
 * Inserts a row under a slug that must be free.
 *
 * @throws ConflictException ALREADY_EXISTS
 */
export async function insertNew<T extends ObjectLiteral & { slug: string }>(
  manager: EntityManager,
  entity: EntityTarget<T>,
  row: T,
): Promise<void> {
  const insert = manager.createQueryBuilder().insert().into(entity).values(row);
  const { raw } = await insert.orIgnore().returning('slug').execute();
  if ((raw as unknown[]).length > 0) return;
  const detail = `The slug ${row.slug} is taken`;
  throw new ConflictException(detail, { errorCode: 'ALREADY_EXISTS' });
}
