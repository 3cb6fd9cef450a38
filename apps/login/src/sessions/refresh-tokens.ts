import type { DataSource, EntityManager } from 'typeorm';
import { digestOf, newId, newSecret } from '../secrets.js';
import type { Person } from '../tokens/access-tokens.js';
import { endSessions } from './end-sessions.js';

const DAY_SECONDS = 86_400;
/** A session ends when nobody refreshes it for this long, */
export const IDLE_SECONDS = 7 * DAY_SECONDS;
/** and at the latest after this long. */
export const ABSOLUTE_SECONDS = 30 * DAY_SECONDS;

/** A session with the refresh token to go on with. */
export interface Continued {
  person: Person;
  sessionId: string;
  refreshToken: string;
  /** Seconds until the refresh token is no longer good. */
  refreshExpiresIn: number;
}

/** What became of a refresh token that was sent. */
export type Refreshed =
  | ({ outcome: 'refreshed' } & Continued)
  | { outcome: 'reused'; sessionId: string }
  | { outcome: 'refused' };

/**
 * Begins a session for a person who is as they were when their password was checked.
 *
 * @returns null where they have been changed or disabled meanwhile
 */
export async function beginSession(
  db: DataSource,
  key: Buffer,
  of: { person: Person; version: number; ip: string },
): Promise<Continued | null> {
  const { person, version, ip } = of;
  const [sessionId, refreshToken] = [newId('ses_'), newSecret('kwr_')];
  const rows = await db.query<unknown[]>(BEGIN, [
    person.id,
    version,
    sessionId,
    ip,
    ABSOLUTE_SECONDS,
    digestOf(key, refreshToken),
    IDLE_SECONDS,
  ]);
  if (rows.length === 0) return null;
  return { person, sessionId, refreshToken, refreshExpiresIn: IDLE_SECONDS };
}

const BEGIN = `
  WITH person AS (
    SELECT id FROM login.user WHERE id = $1 AND version = $2 AND enabled FOR SHARE
  ), begun AS (
    INSERT INTO login.session (id, user_id, ip, expires_at)
    SELECT $3, id, $4, now() + make_interval(secs => $5) FROM person
    RETURNING id
  )
  INSERT INTO login.refresh_token (digest, session_id, expires_at)
  SELECT $6, id, now() + make_interval(secs => $7) FROM begun
  RETURNING session_id`;

/**
 * Spends a refresh token for its successor. A token works once: of any number of uses at the same time one is answered, and
 * every other use, then or later, ends the whole session, for one of the users is a thief (RFC 9700, section 4.14.2).
 */
export function refresh(db: DataSource, key: Buffer, token: string): Promise<Refreshed> {
  const digest = digestOf(key, token);
  return db.transaction(async (manager) => {
    const [spent] = await manager.query<{ sessionId: string }[]>(SPEND, [digest]);
    if (!spent) return reuseOf(manager, digest);
    const [session] = await manager.query<(Person & { secondsLeft: number })[]>(LIVE, [
      spent.sessionId,
    ]);
    if (!session) return { outcome: 'refused' };
    const { secondsLeft, ...person } = session;
    const refreshToken = newSecret('kwr_');
    const refreshExpiresIn = Math.min(IDLE_SECONDS, secondsLeft);
    await manager.query(SUCCEED, [
      digestOf(key, refreshToken),
      spent.sessionId,
      digest,
      refreshExpiresIn,
    ]);
    const { sessionId } = spent;
    return { outcome: 'refreshed', person, sessionId, refreshToken, refreshExpiresIn };
  });
}

const SPEND = `
  WITH spent AS (
    UPDATE login.refresh_token SET used_at = now()
    WHERE digest = $1 AND used_at IS NULL AND expires_at > now()
    RETURNING session_id
  )
  SELECT session_id AS "sessionId" FROM spent`;

const LIVE = `
  SELECT u.id, u.username, u.roles, u.services,
    floor(extract(epoch FROM s.expires_at - now()))::integer AS "secondsLeft"
  FROM login.session s JOIN login.user u ON u.id = s.user_id
  WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > now() AND u.enabled`;

const SUCCEED = `
  INSERT INTO login.refresh_token (digest, session_id, parent, expires_at)
  VALUES ($1, $2, $3, now() + make_interval(secs => $4))`;

async function reuseOf(manager: EntityManager, digest: Buffer): Promise<Refreshed> {
  const sessionId = await sessionOf(manager, digest, 'used');
  if (sessionId === null) return { outcome: 'refused' };
  await endSessions(manager, { sessionId }, 'refresh token reused');
  return { outcome: 'reused', sessionId };
}

/** The session that a refresh token belongs to, or null. */
export async function sessionOf(
  manager: EntityManager,
  digest: Buffer,
  which: 'used' | 'any',
): Promise<string | null> {
  const [row] = await manager.query<{ sessionId: string }[]>(
    `SELECT session_id AS "sessionId" FROM login.refresh_token
     WHERE digest = $1 AND ($2 = 'any' OR used_at IS NOT NULL)`,
    [digest, which],
  );
  return row?.sessionId ?? null;
}

/** Removes sessions that ended by themselves over a day ago, with their tokens, and assertions that have run out. */
export async function removeExpired(db: DataSource): Promise<void> {
  await db.query(`DELETE FROM login.session WHERE expires_at < now() - interval '1 day'`);
  await db.query('DELETE FROM login.client_assertion WHERE expires_at < now()');
}
