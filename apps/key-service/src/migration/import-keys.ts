import type { CreateImportBody, ImportedKeys, ImportResult } from '#contracts';
import { invalidField } from '#server';
import { changeBy } from '../access/change-by.js';
import { maySee } from '../access/principal.js';
import type { ServiceEntity } from '../catalog/service.entity.js';
import type { Mutation } from '../changes/mutations.js';
import { keyChange } from '../keys/key-change.js';
import { lockRuling } from '../keys/key-policy.js';
import type { Work } from '../keys/work.js';
import { settleItems, type Settled } from './import-checks.js';
import { readItem } from './import-item.js';
import { insertKeys } from './import-rows.js';
import { openImport, showImports, type OpenImport } from './import-store.js';

/**
 * Imports keys by their hashes. Each item is a success or a failure of its own; all that succeed are one transaction. An item
 * that was imported before, and is the same, is the key that it was then. One that `supersedes` gives a key that is here a new secret.
 *
 * @throws ProblemException INVALID_REQUEST where there is no such service, or it is not the principal's
 * @throws ConflictException where the source has keys by another scheme
 */
export async function importKeys(
  work: Work,
  body: CreateImportBody,
): Promise<Mutation<ImportedKeys>> {
  const { manager } = work;
  const service = await lockService(work, body.service);
  const open = await openImport(work, body);
  const items = body.items.map((item, index) => readItem(item, index, body.scheme));
  const settled = await settleItems(work, { items, open, service });
  await insertKeys(work, { open, service, keys: settled.created });
  const results = resultsOf(items.length, settled);
  const [shown] = await showImports(manager, { id: open.row.id, services: null });
  const count = (status: ImportResult['status']) =>
    results.filter((one) => one.status === status).length;
  const [created, unchanged, failed] = [count('created'), count('unchanged'), count('failed')];
  const rotated = count('rotated');
  return {
    result: { import: shown!, created, unchanged, rotated, failed, results },
    changes: [...changesOf(work, open, settled), ...settled.rotated.map((one) => one.change)],
    touched: [
      ...settled.created.map(({ keyId }) => ({ keyId, version: 1 })),
      ...settled.rotated.map((one) => one.touched),
    ],
  };
}

async function lockService(work: Work, slug: string): Promise<ServiceEntity> {
  const [service] = maySee(work.by, [slug])
    ? await lockRuling(work, [{ service: slug, scopes: [] }])
    : [];
  if (service === undefined) throw invalidField('/service', `There is no service ${slug}`);
  return service;
}

function resultsOf(count: number, { created, rotated, unchanged, bad }: Settled): ImportResult[] {
  const results: ImportResult[] = Array.from({ length: count });
  for (const { index, given, keyId, isWeak: weak } of created)
    results[index] = { index, item: given.item, status: 'created', keyId, weak };
  for (const { index, item, keyId, isWeak: weak } of rotated)
    results[index] = { index, item, status: 'rotated', keyId, weak };
  for (const { index, item, keyId, isWeak: weak } of unchanged)
    results[index] = { index, item, status: 'unchanged', keyId, weak };
  for (const { index, item, fault } of bad)
    results[index] = { index, item, status: 'failed', error: fault };
  return results;
}

/** An import is told of where it has something new to be looked for, too. */
function changesOf(
  work: Work,
  { row, isNew }: OpenImport,
  { created, rotated }: Pick<Settled, 'created' | 'rotated'>,
) {
  const { id, service, source, mode, algorithm } = row;
  const own = changeBy(work.by, {
    action: isNew ? 'import.created' : 'import.extended',
    ...{ targetType: 'import', targetId: id, keyVersion: null, services: [service] },
    before: null,
    after: { source, mode, algorithm, keys: created.length },
  });
  const keys = created.map(({ keyId, given, isWeak }) =>
    keyChange(work, 'key.imported', {
      key: { keyId, version: 1 },
      services: [service],
      before: null,
      after: { import: id, item: given.item, consumer: given.consumer, weak: isWeak },
    }),
  );
  return isNew || created.length + rotated.length > 0 ? [own, ...keys] : [];
}
