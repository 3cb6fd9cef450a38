import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource, MoreThan, type EntityManager } from 'typeorm';
import type {
  CreateUserBody,
  ListUsersQuery,
  PatchUserBody,
  SetPasswordBody,
  User,
} from '#contracts';
import { checkVersion } from '#server';
import type { By } from '../full-admin.js';
import { Idempotency } from '../idempotency/idempotency.js';
import type { Sender } from '../idempotency/once.js';
import { LOG, SECRETS } from '../injection.js';
import { pageOf, startOf, type Page } from '../pages.js';
import { newId, type LoginSecrets } from '../secrets.js';
import { securityEvent, type SecurityEvent } from '../security-events.js';
import { endSessions } from '../sessions/end-sessions.js';
import { checkNewPassword } from './password-policy.js';
import { hashPassword } from './passwords.js';
import { UserEntity } from './user.entity.js';

const LIST = 'users';

/** People: each change is one transaction, and ends the person's sessions where it takes something from them. */
@Injectable()
export class Users {
  constructor(
    private readonly db: DataSource,
    private readonly idempotency: Idempotency,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** @throws ConflictException ALREADY_EXISTS where the user name is taken */
  async create({ password, ...body }: CreateUserBody, by: Sender): Promise<User> {
    checkNewPassword(password, body.username);
    const passwordHash = await hashPassword(password);
    const { answer, isReplay } = await this.idempotency.run(by.once, async (manager) => {
      const user = await insertUser(manager, { ...body, passwordHash });
      if (user !== null) return showUser(user);
      throw new ConflictException(`The user name ${body.username} is taken`, {
        errorCode: 'ALREADY_EXISTS',
      });
    });
    if (!isReplay) this.note('user.created', answer.id, by);
    return answer;
  }

  async list({ limit, cursor }: ListUsersQuery): Promise<Page<User>> {
    const key = this.secrets.cursors;
    const rows = await this.db.getRepository(UserEntity).find({
      where: { seq: MoreThan(startOf(key, LIST, cursor)) },
      order: { seq: 'ASC' },
      take: limit + 1,
    });
    return pageOf(rows, { limit, list: LIST, key, show: showUser });
  }

  /** @throws NotFoundException */
  async read(id: string): Promise<User> {
    const user = await this.db.getRepository(UserEntity).findOneBy({ id });
    if (!user) throw noUser(id);
    return showUser(user);
  }

  /**
   * @throws ConflictException where no enabled admin without limits would be left
   * @throws ProblemException VERSION_MISMATCH
   */
  async patch(id: string, body: PatchUserBody, by: By & { ifMatch: string | undefined }) {
    const user = await this.db.transaction(async (manager) => {
      await lockFullAdmins(manager);
      const user = await lockUser(manager, id);
      checkVersion(by.ifMatch, user.version);
      const wasFullAdmin = isFullAdmin(user);
      const changed = Object.assign(user, withoutUndefined(body));
      if (wasFullAdmin && !isFullAdmin(changed)) await refuseLastAdmin(manager, id);
      await endSessions(manager, { userId: id }, changed.enabled ? 'rights changed' : 'disabled');
      return save(manager, changed, { failures: 0, failedAt: null });
    });
    this.note('user.changed', id, by, { changed: Object.keys(body) });
    return showUser(user);
  }

  /** Sets a password; every session of the person ends. */
  async setPassword(id: string, { password }: SetPasswordBody, by: By): Promise<void> {
    const { username } = await this.read(id);
    checkNewPassword(password, username);
    const passwordHash = await hashPassword(password);
    await this.db.transaction(async (manager) => {
      const user = await lockUser(manager, id);
      await endSessions(manager, { userId: id }, 'password set');
      await save(manager, user, { passwordHash, failures: 0, failedAt: null });
    });
    this.note('user.password-set', id, by);
  }

  /** Ends every session of a person. */
  async endSessions(id: string, by: By): Promise<void> {
    await this.read(id);
    await endSessions(this.db.manager, { userId: id }, 'ended by an admin');
    this.note('session.ended', id, by, { reason: 'ended by an admin' });
  }

  private note(event: SecurityEvent, userId: string, by: By, more: object = {}): void {
    securityEvent(this.log, event, { actor: by.admin.sub, userId, ...by.from, ...more });
  }
}

/** Adds a person. @returns null where the user name is taken */
export async function insertUser(
  manager: EntityManager,
  person: Pick<UserEntity, 'username' | 'passwordHash' | 'roles' | 'services'>,
): Promise<UserEntity | null> {
  const id = newId('usr_');
  const row = { id, ...person };
  const insert = manager.createQueryBuilder().insert().into(UserEntity).values(row).orIgnore();
  await insert.updateEntity(false).execute();
  return manager.findOneBy(UserEntity, { id });
}

async function lockUser(manager: EntityManager, id: string): Promise<UserEntity> {
  const lock = { mode: 'pessimistic_write' } as const;
  const user = await manager.findOne(UserEntity, { where: { id }, lock });
  if (!user) throw noUser(id);
  return user;
}

async function save(
  manager: EntityManager,
  user: UserEntity,
  columns: Partial<UserEntity>,
): Promise<UserEntity> {
  const { roles, services, enabled } = user;
  const written = {
    ...{ roles, services, enabled, ...columns },
    version: user.version + 1,
    updatedAt: new Date(),
  };
  await manager.update(UserEntity, { id: user.id }, written);
  return Object.assign(user, written);
}

/** Locked in one order, so that two admins cannot remove each other at the same time. */
async function lockFullAdmins(manager: EntityManager): Promise<void> {
  await manager.query(
    `SELECT id FROM login.user WHERE enabled AND 'admin' = ANY (roles) AND services IS NULL
     ORDER BY id FOR UPDATE`,
  );
}

async function refuseLastAdmin(manager: EntityManager, id: string): Promise<void> {
  const others = await manager.query<unknown[]>(
    `SELECT FROM login.user WHERE enabled AND 'admin' = ANY (roles) AND services IS NULL AND id <> $1
     LIMIT 1`,
    [id],
  );
  if (others.length > 0) return;
  throw new ConflictException('This is the last admin without limits; make another one first', {
    errorCode: 'CONFLICT',
  });
}

function isFullAdmin({ enabled, roles, services }: UserEntity): boolean {
  return enabled && roles.includes('admin') && services === null;
}

function showUser(user: UserEntity): User {
  const { id, username, roles, services, enabled, version } = user;
  const [createdAt, updatedAt] = [user.createdAt.toISOString(), user.updatedAt.toISOString()];
  return { id, username, roles, services, enabled, createdAt, updatedAt, version };
}

function noUser(id: string): NotFoundException {
  return new NotFoundException(`There is no user ${id}`, { errorCode: 'NOT_FOUND' });
}

function withoutUndefined(body: PatchUserBody): Partial<Pick<UserEntity, keyof PatchUserBody>> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
}
