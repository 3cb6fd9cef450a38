import type { DataSource } from 'typeorm';
import type { Claims } from '#contracts';

/**
 * Whether the session of a person's token goes on and the person is still enabled. Asked at every call to login, so that a
 * logout, a new password or a change of roles counts here at once. A service account has no session: its token is live.
 */
export async function isSessionLive(db: DataSource, caller: Claims): Promise<boolean> {
  if (caller.client_id !== undefined) return true;
  const found = await db.query<unknown[]>(
    `SELECT FROM login.session s JOIN login.user u ON u.id = s.user_id
     WHERE s.id = $1 AND u.id = $2 AND u.enabled AND s.ended_at IS NULL AND s.expires_at > now()`,
    [caller.sid ?? '', caller.sub],
  );
  return found.length > 0;
}
