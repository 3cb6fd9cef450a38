import type { DataSource } from 'typeorm';
import type { UserEntity } from '../users/user.entity.js';

/** Wrong passwords in a row after which an account is held (SP 800-63B-4, section 3.2.2: no more than 100). */
export const MAX_FAILURES = 100;
/** How long a held account refuses addresses it does not know; then it takes one more attempt. */
export const HOLD_MS = 15 * 60_000;

/**
 * Whether an account is held for this address. Addresses from which the person has logged in within the life of a session
 * are never held, so that guessing from elsewhere does not lock its owner out.
 */
export async function isHeld(
  db: DataSource,
  user: UserEntity,
  at: { ip: string; nowMs: number },
): Promise<boolean> {
  const isOpen =
    user.failures < MAX_FAILURES || at.nowMs - (user.failedAt?.getTime() ?? 0) > HOLD_MS;
  if (isOpen) return false;
  const known = await db.query<unknown[]>(
    'SELECT FROM login.session WHERE user_id = $1 AND ip = $2 LIMIT 1',
    [user.id, at.ip],
  );
  return known.length === 0;
}

/** Counts a wrong password. */
export async function countFailure(db: DataSource, userId: string): Promise<void> {
  await db.query('UPDATE login.user SET failures = failures + 1, failed_at = now() WHERE id = $1', [
    userId,
  ]);
}

/** Notes a right password: the count starts again, and a hash made at an old cost is replaced if it still is the one. */
export async function noteSuccess(
  db: DataSource,
  user: UserEntity,
  newHash: string | null,
): Promise<void> {
  if (user.failures === 0 && newHash === null) return;
  await db.query(
    `UPDATE login.user SET failures = 0, failed_at = NULL, password_hash = coalesce($3, password_hash)
     WHERE id = $1 AND password_hash = $2`,
    [user.id, user.passwordHash, newHash],
  );
}
