import { ForbiddenException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import {
  DEFAULT_POLICY,
  type CreateServiceBody,
  type ListServicesQuery,
  type PatchServiceBody,
  type Policy,
  type Service,
} from '#contracts';
import { checkVersion } from '#server';
import { changeBy } from '../access/change-by.js';
import { pageOf, placeOf } from '../access/cursor.js';
import { maySee, type Principal } from '../access/principal.js';
import type { NewChange } from '../changes/change-log.js';
import { Mutations } from '../changes/mutations.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Once } from '../idempotency/once.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { differencesOf } from './differences.js';
import { insertNew } from './insert-new.js';
import { mergePolicy } from './service-policy.js';
import { refuseScopesInUse } from './scopes-in-use.js';
import { ServiceEntity } from './service.entity.js';
import { showService } from './show.js';

/** The services that keys can be granted for. */
@Injectable()
export class Services {
  constructor(
    private readonly db: DataSource,
    private readonly mutations: Mutations,
    private readonly idempotency: Idempotency,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /** @throws ForbiddenException for an admin who is limited to some services */
  async create(body: CreateServiceBody, by: Principal, once: Once | null): Promise<Service> {
    if (by.services !== null) {
      const detail = 'Only an admin of all services may add one';
      throw new ForbiddenException(detail, { errorCode: 'FORBIDDEN' });
    }
    const at = new Date(this.material.now());
    const { slug, name = slug, scopes } = body;
    const policy = mergePolicy(DEFAULT_POLICY, body.policy as Partial<Policy>, scopes);
    const row = { slug, name, scopes, policy, version: 1, createdAt: at, updatedAt: at };
    const { result } = await this.idempotency.run(once, async (manager) => {
      await insertNew(manager, ServiceEntity, row);
      const change = serviceChange('service.created', by, {
        slug,
        after: { name, scopes, policy },
      });
      return { result: showService(row), changes: [change], touched: [] };
    });
    return result;
  }

  /** Services by slug. */
  async list(query: ListServicesQuery, by: Principal) {
    const scope = { key: this.material.cursorKey, list: 'services', filters: {}, by };
    const place = placeOf(scope, query.cursor);
    const select = this.db.manager.createQueryBuilder(ServiceEntity, 'service');
    if (place !== null) select.andWhere('service.slug > :place', { place });
    if (by.services) select.andWhere('service.slug = ANY(:slugs)', { slugs: by.services });
    const rows = await select
      .orderBy('service.slug')
      .limit(query.limit + 1)
      .getMany();
    return pageOf(scope, rows, {
      limit: query.limit,
      placeOfRow: (row) => row.slug,
      show: (shown) => shown.map(showService),
    });
  }

  /** @throws NotFoundException where there is none, or it is not the principal's to see */
  async read(slug: string, by: Principal): Promise<Service> {
    const row = maySee(by, [slug])
      ? await this.db.manager.findOneBy(ServiceEntity, { slug })
      : null;
    if (!row) throw noService(slug);
    return showService(row);
  }

  /**
   * Changes a service. Keys that break its policy from now on stay valid.
   *
   * @param ifMatch the `If-Match` header, if one was sent
   * @throws ConflictException where a scope is taken away that keys still hold
   */
  async patch(
    slug: string,
    body: PatchServiceBody,
    { by, ifMatch }: { by: Principal; ifMatch: string | undefined },
  ): Promise<Service> {
    const { result } = await this.mutations.run(async (manager) => {
      const before = maySee(by, [slug]) ? await lockService(manager, slug) : null;
      if (!before) throw noService(slug);
      checkVersion(ifMatch, before.version);
      const { name = before.name, scopes = before.scopes } = body;
      await refuseScopesInUse(manager, before, scopes);
      const policy = mergePolicy(before.policy, body.policy as Partial<Policy>, scopes);
      const next = { name, scopes, policy };
      const stamp = { version: before.version + 1, updatedAt: new Date(this.material.now()) };
      await manager.update(ServiceEntity, { slug }, { ...next, ...stamp });
      const { name: oldName, scopes: oldScopes, policy: oldPolicy } = before;
      const differences = differencesOf(
        { name: oldName, scopes: oldScopes, policy: oldPolicy },
        next,
      );
      const change = serviceChange('service.updated', by, { slug, ...differences });
      const shown = showService(Object.assign({}, before, next, stamp));
      return { result: shown, changes: [change], touched: [] };
    }, 'many');
    return result;
  }
}

function lockService(manager: EntityManager, slug: string): Promise<ServiceEntity | null> {
  return manager.findOne(ServiceEntity, { where: { slug }, lock: { mode: 'pessimistic_write' } });
}

function noService(slug: string): NotFoundException {
  return new NotFoundException(`There is no service ${slug}`, { errorCode: 'NOT_FOUND' });
}

function serviceChange(
  action: string,
  by: Principal,
  { slug, before = null, after }: { slug: string; before?: object | null; after: object },
): NewChange {
  return changeBy(by, {
    action,
    targetType: 'service',
    targetId: slug,
    keyVersion: null,
    services: [slug],
    before: before as NewChange['before'],
    after: after as NewChange['after'],
  });
}
