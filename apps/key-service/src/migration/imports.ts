import { Inject, Injectable, NotFoundException } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type {
  CreateImportBody,
  ImportedKeys,
  ImportList,
  ImportMode,
  ImportPage,
  KeyImport,
  ListImportsQuery,
  MoveImportsBody,
  ParityReport,
} from '#contracts';
import { checkVersion } from '#server';
import { changeBy } from '../access/change-by.js';
import { pageOf, placeOf } from '../access/cursor.js';
import { maySee, type Principal } from '../access/principal.js';
import type { NewChange } from '../changes/change-log.js';
import type { Propagated } from '../changes/propagation.interceptor.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Once } from '../idempotency/once.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import type { Work } from '../keys/work.js';
import { Stores } from '../stores.js';
import { importKeys } from './import-keys.js';
import { ImportRules } from './import-rules.js';
import { findImport, lockImports, showImports } from './import-store.js';
import { forgetParity, readParity } from './parity.js';

/** Keys that come from elsewhere, and which side counts for them. */
@Injectable()
export class Imports {
  constructor(
    private readonly idempotency: Idempotency,
    private readonly stores: Stores,
    private readonly rules: ImportRules,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /** See {@link importKeys}. This replica knows the keys when it returns, the others a moment later. */
  async create(body: CreateImportBody, by: Principal, once: Once | null): Promise<ImportedKeys> {
    const work = (manager: EntityManager) => importKeys(this.workOf(manager, by), body);
    const { result } = await this.idempotency.run(once, work, 'many');
    await this.rules.tryRefresh();
    return result;
  }

  /** Imports that the principal may see, the oldest first. */
  async list({ service, limit, cursor }: ListImportsQuery, by: Principal): Promise<ImportPage> {
    const scope = { key: this.material.cursorKey, list: 'imports', filters: { service }, by };
    const after = placeOf(scope, cursor);
    const services = service === undefined ? by.services : maySee(by, [service]) ? [service] : [];
    const shown = { services, after, limit: limit + 1 };
    return pageOf(scope, await showImports(this.stores.db.manager, shown), {
      limit,
      placeOfRow: (row) => row.id,
      show: (rows) => rows,
    });
  }

  /** @throws NotFoundException where there is none, or it is not the principal's to see */
  async read(id: string, by: Principal): Promise<KeyImport> {
    const { manager } = this.stores.db;
    const [found] = await showImports(manager, { id, services: by.services });
    if (found === undefined) throw noImport(id);
    return found;
  }

  /**
   * Moves all imports of a service on or back, none without the others.
   *
   * @throws NotFoundException where it has none, or is not the principal's to see
   */
  async moveAll(
    { service, mode }: MoveImportsBody,
    by: Principal,
  ): Promise<Propagated<ImportList>> {
    if (!maySee(by, [service])) throw noImportOf(service);
    const { result, propagation } = await this.idempotency.run(null, async (manager) => {
      await lockImports(manager, service);
      const all = await showImports(manager, { services: [service] });
      if (all.length === 0) throw noImportOf(service);
      const moving = all.filter((one) => one.mode !== mode);
      for (const { id } of moving) await this.write(manager, id, mode);
      if (moving.length > 0) await forgetParity(manager, service);
      const data = await showImports(manager, { services: [service] });
      const changes = moving.map((one) => movedBy(by, one, mode));
      return { result: { data }, changes, touched: [], movesImports: true };
    });
    return { ...result, propagation };
  }

  /**
   * Moves one on or back. What both sides say is counted anew from then on: it is about the side that counts.
   *
   * @throws NotFoundException as {@link read}; ProblemException VERSION_MISMATCH
   */
  async move(
    id: string,
    mode: ImportMode,
    { by, ifMatch }: { by: Principal; ifMatch: string | undefined },
  ): Promise<Propagated<KeyImport>> {
    const { result, propagation } = await this.idempotency.run(null, async (manager) => {
      const [{ service } = { service: null }] = await showImports(manager, {
        ...{ id, services: by.services },
      });
      if (service === null) throw noImport(id);
      // before the row, as who imports does
      await lockImports(manager, service);
      const before = (await findImport(manager, 'id = $1', [id]))!;
      checkVersion(ifMatch, before.version);
      if (before.mode !== mode) {
        await this.write(manager, id, mode);
        await forgetParity(manager, before.service);
      }
      const [shown] = await showImports(manager, { id, services: null });
      const changes = before.mode === mode ? [] : [movedBy(by, before, mode)];
      return { result: shown!, changes, touched: [], movesImports: true };
    });
    return { ...result, propagation };
  }

  /** What both sides have said. @throws NotFoundException as {@link read} */
  async parity(id: string, by: Principal): Promise<ParityReport> {
    const { service } = await this.read(id, by);
    return readParity(this.stores.db.manager, service);
  }

  private async write(manager: EntityManager, id: string, mode: ImportMode): Promise<void> {
    await manager.query(
      'UPDATE keys.import SET mode = $2, version = version + 1, updated_at = $3 WHERE id = $1',
      [id, mode, new Date(this.material.now())],
    );
  }

  private workOf(manager: EntityManager, by: Principal): Work {
    return { manager, by, material: this.material, link: this.stores.link };
  }
}

function movedBy(
  by: Principal,
  { id, service, mode }: Pick<KeyImport, 'id' | 'service' | 'mode'>,
  to: ImportMode,
): NewChange {
  return changeBy(by, {
    action: 'import.moved',
    ...{ targetType: 'import', targetId: id, keyVersion: null, services: [service] },
    before: { mode },
    after: { mode: to },
  });
}

function noImportOf(service: string): NotFoundException {
  return new NotFoundException(`There is no import of ${service}`, { errorCode: 'NOT_FOUND' });
}

function noImport(id: string): NotFoundException {
  return new NotFoundException(`There is no import ${id}`, { errorCode: 'NOT_FOUND' });
}
