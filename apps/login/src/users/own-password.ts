import { Inject, Injectable, UnauthorizedException } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { ChangePasswordBody, Claims } from '#contracts';
import { LOG } from '../injection.js';
import { securityEvent, type Origin } from '../security-events.js';
import { endSessions } from '../sessions/end-sessions.js';
import { countFailure, isHeld } from '../sessions/guesses.js';
import { checkNewPassword } from './password-policy.js';
import { hashPassword, isPasswordOf } from './passwords.js';
import { UserEntity } from './user.entity.js';

/** People's own passwords. */
@Injectable()
export class OwnPassword {
  constructor(
    private readonly db: DataSource,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * Sets the caller's password; their other sessions end, and the one that asks goes on. A wrong old password counts as a
   * wrong password at login does.
   *
   * @throws UnauthorizedException INVALID_CREDENTIALS
   * @throws ProblemException INVALID_REQUEST where the new one is easy to guess
   */
  async change(body: ChangePasswordBody, caller: Claims, from: Origin): Promise<void> {
    const user = await this.db.getRepository(UserEntity).findOneByOrFail({ id: caller.sub });
    if (!(await this.isTheirs(user, body.oldPassword, from))) throw refused();
    checkNewPassword(body.password, user.username);
    const passwordHash = await hashPassword(body.password);
    const isDone = await this.db.transaction(async (manager) => {
      // Whoever has set another one meanwhile has made this old one wrong.
      const { affected } = await manager.update(
        UserEntity,
        { id: user.id, passwordHash: user.passwordHash },
        { passwordHash, failures: 0, failedAt: null, updatedAt: new Date() },
      );
      if (affected !== 1) return false;
      const others = { userId: user.id, except: caller.sid };
      await endSessions(manager, others, 'password changed');
      await manager.increment(UserEntity, { id: user.id }, 'version', 1);
      return true;
    });
    if (!isDone) throw refused();
    securityEvent(this.log, 'user.password-changed', { userId: user.id, ...from });
  }

  private async isTheirs(user: UserEntity, password: string, from: Origin): Promise<boolean> {
    const [isHeldNow, isRight] = await Promise.all([
      isHeld(this.db, user, { ip: from.ip, nowMs: Date.now() }),
      isPasswordOf(user.passwordHash, password),
    ]);
    if (isRight && !isHeldNow) return true;
    const reason = isHeldNow ? 'held' : 'wrong password';
    securityEvent(this.log, 'user.password-refused', { userId: user.id, reason, ...from });
    if (!isHeldNow) await countFailure(this.db, user.id);
    return false;
  }
}

function refused(): UnauthorizedException {
  return new UnauthorizedException('The old password is not right', {
    errorCode: 'INVALID_CREDENTIALS',
  });
}
