import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource, MoreThan, type EntityManager } from 'typeorm';
import type {
  Client,
  CreateClientBody,
  IssuedClient,
  ListClientsQuery,
  PatchClientBody,
} from '#contracts';
import { checkVersion } from '#server';
import { audiencesOf, type LoginEnv } from '../config.js';
import type { By } from '../full-admin.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Sender } from '../idempotency/once.js';
import { ENV, LOG, SECRETS } from '../injection.js';
import { pageOf, startOf, type Page } from '../pages.js';
import { digestOf, newSecret, type LoginSecrets } from '../secrets.js';
import { securityEvent, type SecurityEvent } from '../security-events.js';
import { checkAudiences } from './audiences.js';
import { checkClientKeys } from './check-client-keys.js';
import { ClientEntity } from './client.entity.js';

const LIST = 'clients';

/** Service accounts. A change counts for the next token; tokens that are out stay good until they expire, 10 minutes at most. */
@Injectable()
export class Clients {
  @Inject(ENV) private readonly env!: LoginEnv;

  constructor(
    private readonly db: DataSource,
    private readonly idempotency: Idempotency,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * @returns the client and its secret, which is nowhere else from here on
   * @throws ConflictException ALREADY_EXISTS
   * @throws ProblemException INVALID_REQUEST where a public key is none
   */
  async create(body: CreateClientBody, by: Sender): Promise<IssuedClient> {
    checkClientKeys(body.jwks);
    const { answer, isReplay } = await this.idempotency.run(by.once, async (manager) => {
      const clientSecret = newSecret('kws_');
      const secretDigest = digestOf(this.secrets.clientSecrets, clientSecret);
      const client = await insertClient(manager, body, secretDigest);
      if (client === null)
        throw new ConflictException(`The client id ${body.clientId} is taken`, {
          errorCode: 'ALREADY_EXISTS',
        });
      await this.checkAudiences(manager, body);
      return { client: showClient(client), clientSecret };
    });
    if (!isReplay) this.note('client.created', body.clientId, by);
    return answer;
  }

  async list({ limit, cursor }: ListClientsQuery): Promise<Page<Client>> {
    const key = this.secrets.cursors;
    const rows = await this.db.getRepository(ClientEntity).find({
      where: { seq: MoreThan(startOf(key, LIST, cursor)) },
      order: { seq: 'ASC' },
      take: limit + 1,
    });
    return pageOf(rows, { limit, list: LIST, key, show: showClient });
  }

  /** @throws NotFoundException */
  async read(clientId: string): Promise<Client> {
    const client = await this.db.getRepository(ClientEntity).findOneBy({ clientId });
    if (!client) throw noClient(clientId);
    return showClient(client);
  }

  /**
   * @throws NotFoundException
   * @throws ProblemException VERSION_MISMATCH, and INVALID_REQUEST where a public key is none
   */
  async patch(
    clientId: string,
    body: PatchClientBody,
    by: By & { ifMatch: string | undefined },
  ): Promise<Client> {
    checkClientKeys(body.jwks);
    const client = await this.db.transaction(async (manager) => {
      const client = await lockClient(manager, clientId);
      checkVersion(by.ifMatch, client.version);
      const changed = await save(manager, client, withoutUndefined(body));
      await this.checkAudiences(manager, body);
      return changed;
    });
    this.note('client.changed', clientId, by, { changed: Object.keys(body) });
    return showClient(client);
  }

  /** Replaces the secret; the old one is dead at once. @throws NotFoundException */
  async replaceSecret(clientId: string, by: Sender): Promise<IssuedClient> {
    const { answer, isReplay } = await this.idempotency.run(by.once, async (manager) => {
      const clientSecret = newSecret('kws_');
      const secretDigest = digestOf(this.secrets.clientSecrets, clientSecret);
      const client = await lockClient(manager, clientId);
      return {
        client: showClient(await save(manager, client, { secretDigest })),
        clientSecret,
      };
    });
    if (!isReplay) this.note('client.secret-replaced', clientId, by);
    return answer;
  }

  /** @throws NotFoundException */
  async remove(clientId: string, by: By): Promise<void> {
    const { affected } = await this.db.getRepository(ClientEntity).delete({ clientId });
    if (affected !== 1) throw noClient(clientId);
    this.note('client.removed', clientId, by);
  }

  private checkAudiences(manager: EntityManager, { audiences }: PatchClientBody): Promise<void> {
    return checkAudiences(manager, { always: audiencesOf(this.env), wanted: audiences });
  }

  private note(event: SecurityEvent, clientId: string, by: By, more: object = {}): void {
    securityEvent(this.log, event, { actor: by.admin.sub, clientId, ...by.from, ...more });
  }
}

/** Adds a service account. @returns null where the client id is taken */
export async function insertClient(
  manager: EntityManager,
  body: Omit<CreateClientBody, 'jwks'> & { jwks?: CreateClientBody['jwks'] },
  secretDigest: Buffer,
): Promise<ClientEntity | null> {
  const { clientId, name = clientId, scopes, audiences, jwks = null } = body;
  const row = { clientId, name, scopes: [...new Set(scopes)], audiences, jwks, secretDigest };
  const insert = manager.createQueryBuilder().insert().into(ClientEntity).values(row);
  const { raw } = await insert.orIgnore().returning('client_id').updateEntity(false).execute();
  if ((raw as unknown[]).length === 0) return null;
  return manager.findOneBy(ClientEntity, { clientId });
}

async function lockClient(manager: EntityManager, clientId: string): Promise<ClientEntity> {
  const lock = { mode: 'pessimistic_write' } as const;
  const client = await manager.findOne(ClientEntity, { where: { clientId }, lock });
  if (!client) throw noClient(clientId);
  return client;
}

async function save(
  manager: EntityManager,
  client: ClientEntity,
  columns: Partial<ClientEntity>,
): Promise<ClientEntity> {
  const written = { ...columns, version: client.version + 1, updatedAt: new Date() };
  await manager.update(ClientEntity, { clientId: client.clientId }, written);
  return Object.assign(client, written);
}

function showClient(client: ClientEntity): Client {
  const { clientId, name, scopes, audiences, jwks, enabled, version } = client;
  const [createdAt, updatedAt] = [client.createdAt.toISOString(), client.updatedAt.toISOString()];
  return { clientId, name, scopes, audiences, jwks, enabled, createdAt, updatedAt, version };
}

function noClient(clientId: string): NotFoundException {
  return new NotFoundException(`There is no client ${clientId}`, { errorCode: 'NOT_FOUND' });
}

function withoutUndefined(body: PatchClientBody): Partial<ClientEntity> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}
