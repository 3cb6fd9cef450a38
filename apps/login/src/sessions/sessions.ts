import {
  Inject,
  Injectable,
  UnauthorizedException,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import { role, type Claims, type LoginBody, type Me, type Role, type TokenPair } from '#contracts';
import { enabledAccounts } from '../clients/audiences.js';
import { LOG, SECRETS } from '../injection.js';
import { digestOf, type LoginSecrets } from '../secrets.js';
import { securityEvent, type Origin } from '../security-events.js';
import { ACCESS_TOKEN_SECONDS } from '../tokens/access-token-life.js';
import { AccessTokens } from '../tokens/access-tokens.js';
import { hashPassword, isOutdated, isPasswordOf } from '../users/passwords.js';
import { UserEntity } from '../users/user.entity.js';
import { endSessions } from './end-sessions.js';
import { countFailure, isHeld, noteSuccess } from './guesses.js';
import {
  beginSession,
  refresh,
  removeExpired,
  sessionOf,
  type Continued,
} from './refresh-tokens.js';

const HOUSEKEEPING_MS = 3_600_000;

/** Logging in, going on, and ending it. */
@Injectable()
export class Sessions implements OnApplicationBootstrap, OnApplicationShutdown {
  private housekeeping: NodeJS.Timeout | undefined;

  constructor(
    private readonly db: DataSource,
    private readonly tokens: AccessTokens,
    @Inject(SECRETS) private readonly secrets: LoginSecrets,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.housekeeping = setInterval(() => {
      this.inBackground(removeExpired(this.db), 'removing expired sessions');
    }, HOUSEKEEPING_MS).unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.housekeeping);
  }

  /** @throws UnauthorizedException the same, after the same work, for unknown, wrong, held and disabled */
  async login({ username, password }: LoginBody, from: Origin): Promise<TokenPair> {
    const name = username.normalize('NFKC').toLowerCase();
    const user = await this.db.getRepository(UserEntity).findOneBy({ username: name });
    const [isHeldNow, isRight] = await Promise.all([
      user !== null && isHeld(this.db, user, { ip: from.ip, nowMs: Date.now() }),
      isPasswordOf(user?.passwordHash ?? null, password),
    ]);
    if (user === null || isHeldNow || !isRight || !user.enabled) {
      this.noteFailure(user, { isHeldNow, isRight }, from);
      throw invalidCredentials();
    }
    await this.noteSuccess(user, password);
    const { id, roles, services, version } = user;
    const begun = await beginSession(this.db, this.secrets.refreshTokens, {
      person: { id, username: name, roles, services },
      version,
      ip: from.ip,
    });
    if (begun === null) throw invalidCredentials();
    securityEvent(this.log, 'login.succeeded', { userId: id, sessionId: begun.sessionId, ...from });
    return this.pairOf(begun);
  }

  /** @throws UnauthorizedException INVALID_TOKEN; where the token was used before, its session has ended */
  async refresh(refreshToken: string, from: Origin): Promise<TokenPair> {
    const result = await refresh(this.db, this.secrets.refreshTokens, refreshToken);
    if (result.outcome === 'refreshed') return this.pairOf(result);
    if (result.outcome === 'reused') {
      const { sessionId } = result;
      securityEvent(this.log, 'session.reuse', { sessionId, ...from });
    }
    throw new UnauthorizedException('Log in again: the refresh token is not good, or no longer', {
      errorCode: 'INVALID_TOKEN',
    });
  }

  /** Ends the session of a refresh token, used or not; a token that nobody knows is left at that. */
  async logout(refreshToken: string, from: Origin): Promise<void> {
    const digest = digestOf(this.secrets.refreshTokens, refreshToken);
    const sessionId = await sessionOf(this.db.manager, digest, 'any');
    if (sessionId === null) return;
    await endSessions(this.db.manager, { sessionId }, 'logout');
    securityEvent(this.log, 'session.ended', { sessionId, reason: 'logout', ...from });
  }

  /** Ends every session of the caller, this one too. */
  async logoutAll({ sub: userId }: Claims, from: Origin): Promise<void> {
    await endSessions(this.db.manager, { userId }, 'logout of all');
    securityEvent(this.log, 'session.ended', { userId, reason: 'logout of all', ...from });
  }

  /** Who the caller's token says they are. */
  me(caller: Claims): Me {
    return {
      id: caller.sub,
      username: caller.username ?? '',
      roles: caller.roles.filter(isRole),
      services: caller.services ?? null,
      expiresAt: new Date(caller.exp * 1_000).toISOString(),
    };
  }

  private async pairOf(continued: Continued): Promise<TokenPair> {
    const { person, sessionId, refreshToken, refreshExpiresIn } = continued;
    const services = await enabledAccounts(this.db);
    return {
      accessToken: await this.tokens.forPerson(person, sessionId, services),
      tokenType: 'Bearer',
      expiresIn: ACCESS_TOKEN_SECONDS,
      refreshToken,
      refreshExpiresIn,
    };
  }

  /** Not waited for: how long it takes must not tell an account that exists from one that does not. */
  private noteFailure(
    user: UserEntity | null,
    { isHeldNow, isRight }: { isHeldNow: boolean; isRight: boolean },
    from: Origin,
  ): void {
    const reason = user === null ? 'unknown' : isRight ? 'disabled' : 'wrong password';
    const event = isHeldNow ? 'login.held' : 'login.failed';
    securityEvent(this.log, event, {
      userId: user?.id,
      reason: isHeldNow ? 'held' : reason,
      ...from,
    });
    if (user !== null && !isHeldNow && !isRight)
      this.inBackground(countFailure(this.db, user.id), 'counting a wrong password');
  }

  /** Never fails the login: what could not be noted is noted at the next. */
  private async noteSuccess(user: UserEntity, password: string): Promise<void> {
    try {
      const newHash = isOutdated(user.passwordHash) ? await hashPassword(password) : null;
      await noteSuccess(this.db, user, newHash);
    } catch (error) {
      this.log.warn({ err: error, userId: user.id }, 'noting a right password failed');
    }
  }

  private inBackground(work: Promise<unknown>, what: string): void {
    work.catch((error: unknown) => this.log.warn({ err: error }, `${what} failed`));
  }
}

function invalidCredentials(): UnauthorizedException {
  return new UnauthorizedException('The user name or the password is not right', {
    errorCode: 'INVALID_CREDENTIALS',
  });
}

function isRole(name: string): name is Role {
  return role.safeParse(name).success;
}
