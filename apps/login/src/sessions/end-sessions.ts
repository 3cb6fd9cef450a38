import type { EntityManager } from 'typeorm';

/** Why a session ended before its time. */
export type EndReason =
  | 'logout'
  | 'logout of all'
  | 'refresh token reused'
  | 'password set'
  | 'password changed'
  | 'rights changed'
  | 'disabled'
  | 'ended by an admin';

/**
 * Ends one session, or all of a person: their refresh tokens are dead from the commit on, and their access tokens at login
 * too; other services accept those until they expire, 10 minutes at most.
 */
export async function endSessions(
  manager: EntityManager,
  which: { userId: string; except?: string | undefined } | { sessionId: string },
  reason: EndReason,
): Promise<void> {
  const [column, id] = 'userId' in which ? ['user_id', which.userId] : ['id', which.sessionId];
  const spared = 'userId' in which ? (which.except ?? '') : '';
  await manager.query(
    `UPDATE login.session SET ended_at = now(), end_reason = $2
     WHERE ${column} = $1 AND ended_at IS NULL AND id <> $3`,
    [id, reason, spared],
  );
}
