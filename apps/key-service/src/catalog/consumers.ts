import { ForbiddenException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type {
  Consumer,
  CreateConsumerBody,
  ListConsumersQuery,
  PatchConsumerBody,
} from '#contracts';
import { checkVersion } from '#server';
import { changeBy } from '../access/change-by.js';
import { pageOf, placeOf } from '../access/cursor.js';
import type { Principal } from '../access/principal.js';
import type { NewChange } from '../changes/change-log.js';
import { Mutations } from '../changes/mutations.js';
import type { Propagated } from '../changes/propagation.interceptor.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Once } from '../idempotency/once.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { ConsumerEntity } from './consumer.entity.js';
import { touchKeysOf } from './consumer-keys.js';
import { differencesOf } from './differences.js';
import { insertNew } from './insert-new.js';
import { showConsumer } from './show.js';

/** The directory of those who hold keys. All admins and auditors may read it and all admins may add to it. */
@Injectable()
export class Consumers {
  constructor(
    private readonly db: DataSource,
    private readonly mutations: Mutations,
    private readonly idempotency: Idempotency,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /** @throws ConflictException where the slug is taken */
  async create(body: CreateConsumerBody, by: Principal, once: Once | null): Promise<Consumer> {
    const at = new Date(this.material.now());
    const { slug, name = slug, contact = null, metadata = {}, enabled = true } = body;
    const fields = { name, contact, metadata, enabled };
    const row = { slug, ...fields, version: 1, createdAt: at, updatedAt: at };
    const { result } = await this.idempotency.run(once, async (manager) => {
      await insertNew(manager, ConsumerEntity, row);
      const change = consumerChange('consumer.created', by, { slug, before: null, after: fields });
      return { result: showConsumer(row), changes: [change], touched: [] };
    });
    return result;
  }

  /** Consumers by slug. */
  async list(query: ListConsumersQuery, by: Principal) {
    const scope = { key: this.material.cursorKey, list: 'consumers', filters: {}, by };
    const place = placeOf(scope, query.cursor);
    const select = this.db.manager.createQueryBuilder(ConsumerEntity, 'consumer');
    if (place !== null) select.andWhere('consumer.slug > :place', { place });
    const rows = await select
      .orderBy('consumer.slug')
      .limit(query.limit + 1)
      .getMany();
    return pageOf(scope, rows, {
      limit: query.limit,
      placeOfRow: (row) => row.slug,
      show: (shown) => shown.map(showConsumer),
    });
  }

  /** @throws NotFoundException */
  async read(slug: string): Promise<Consumer> {
    const row = await this.db.manager.findOneBy(ConsumerEntity, { slug });
    if (!row) throw noConsumer(slug);
    return showConsumer(row);
  }

  /**
   * Changes a consumer. With `enabled` the verification of all its keys changes, in the same transaction.
   *
   * @param ifMatch the `If-Match` header, if one was sent
   * @throws ForbiddenException where some of its keys are outside the admin's services
   */
  async patch(
    slug: string,
    body: PatchConsumerBody,
    { by, ifMatch }: { by: Principal; ifMatch: string | undefined },
  ): Promise<Propagated<Consumer>> {
    const at = new Date(this.material.now());
    const { result, propagation } = await this.mutations.run(async (manager) => {
      const before = await lockConsumer(manager, slug);
      await refuseKeysOfOthers(manager, slug, by);
      checkVersion(ifMatch, before.version);
      const next = { ...fieldsOf(before), ...(body as Partial<ConsumerEntity>) };
      const stamp = { version: before.version + 1, updatedAt: at };
      await manager.update(ConsumerEntity, { slug }, { ...next, ...stamp } as object);
      const isSwitched = next.enabled !== before.enabled;
      const state = next.enabled ? 'enabled' : 'disabled';
      const touched = isSwitched
        ? await touchKeysOf(manager, slug, { at, by, action: `key.consumer_${state}` })
        : { keys: [], changes: [] };
      const change = consumerChange(`consumer.${isSwitched ? state : 'updated'}`, by, {
        slug,
        ...differencesOf(fieldsOf(before), next),
      });
      return {
        result: Object.assign({}, before, next, stamp),
        changes: [change, ...touched.changes],
        touched: touched.keys,
        mayRepeat: body.enabled !== undefined,
      };
    }, 'many');
    return { ...showConsumer(result), propagation };
  }
}

/** Locked against keys being made for it: those take a share of this lock. */
async function lockConsumer(manager: EntityManager, slug: string): Promise<ConsumerEntity> {
  const lock = { mode: 'pessimistic_write' } as const;
  const row = await manager.findOne(ConsumerEntity, { where: { slug }, lock });
  if (!row) throw noConsumer(slug);
  return row;
}

async function refuseKeysOfOthers(
  manager: EntityManager,
  slug: string,
  by: Principal,
): Promise<void> {
  if (by.services === null) return;
  const others = await manager.query<unknown[]>(
    `SELECT FROM keys.key k JOIN keys.key_grant g ON g.key_id = k.id
     WHERE k.consumer = $1 AND g.service <> ALL($2) LIMIT 1`,
    [slug, by.services],
  );
  if (others.length === 0) return;
  const detail = `${slug} holds keys of services that are not yours; ask an admin of all services`;
  throw new ForbiddenException(detail, { errorCode: 'FORBIDDEN' });
}

function fieldsOf({ name, contact, metadata, enabled }: ConsumerEntity) {
  return { name, contact, metadata, enabled };
}

function noConsumer(slug: string): NotFoundException {
  return new NotFoundException(`There is no consumer ${slug}`, { errorCode: 'NOT_FOUND' });
}

function consumerChange(
  action: string,
  by: Principal,
  { slug, before, after }: { slug: string; before: object | null; after: object },
): NewChange {
  return changeBy(by, {
    action,
    targetType: 'consumer',
    targetId: slug,
    keyVersion: null,
    services: [],
    before: before as NewChange['before'],
    after: after as NewChange['after'],
  });
}
