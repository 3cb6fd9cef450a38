import type { RotationStatus } from '#contracts';
import { findKey } from './find-key.js';
import type { SecretEntity } from './secret.entity.js';
import { hasEnded, lastSecrets } from './secrets.js';
import type { Work } from './work.js';

/** How long nobody may have presented the old secret before it is safe to retire. */
const QUIET_MS = 300_000;
/** How late the counts of a process may be. */
const LATE_SECONDS = 60;
const HOUR_MS = 3_600_000;

/**
 * How the last rotation of a key goes. It is safe to retire the old secret where it has ended, or where all of this holds:
 *
 * - for five minutes, and since the rotation, nobody has presented it, whatever the outcome
 * - the new secret has been used since, or the old one never was: a job that runs once a night says nothing in five minutes
 * - every process that counts has written its counts within the last minute; one that has been silent for the grace and those
 *   five minutes has none left that could matter. What a guard has decided by itself and not reported is not known.
 * - nothing that was written is older than a minute and not yet among the keys' last uses; where PostgreSQL's clock was set back,
 *   what is from the future is older, too
 *
 * @param graceSeconds how long a process may go on verifying while PostgreSQL does not answer
 * @throws NotFoundException as {@link findKey}
 */
export async function rotationStatus(
  work: Work,
  id: string,
  graceSeconds: number,
): Promise<RotationStatus> {
  await findKey(work.manager, id, work.by);
  // before anything that is written is read
  const isWritten = await isAllWritten(work, graceSeconds);
  const [current, previous] = await lastSecrets(work, id);
  if (!current || !previous) return { previous: null, safeToRetire: true };
  const nowMs = work.material.now();
  const usesSinceRotation = await usesSince(work, current, previous);
  return {
    previous: {
      validUntil: previous.validUntil!.toISOString(),
      lastUsedAt: previous.lastUsedAt?.toISOString() ?? null,
      usesSinceRotation,
    },
    safeToRetire:
      hasEnded(previous, nowMs) ||
      (isWritten &&
        current.createdAt.getTime() <= nowMs - QUIET_MS &&
        (current.lastUsedAt !== null || !(await wasUsed(work, previous, usesSinceRotation))) &&
        !(await isInUse(work, previous, nowMs))),
  };
}

async function usesSince(
  { manager }: Work,
  current: SecretEntity,
  previous: SecretEntity,
): Promise<number> {
  const hourMs = Math.floor(current.createdAt.getTime() / HOUR_MS) * HOUR_MS;
  const [row] = await manager.query<{ uses: number }[]>(
    `SELECT coalesce(sum(count), 0)::float8 AS uses FROM keys.usage_by_hour
     WHERE key_id = $1 AND secret IN ($2, 0) AND superseded AND code = 'VALID' AND at >= $3`,
    [previous.keyId, previous.number, new Date(hourMs)],
  );
  return row!.uses;
}

async function isAllWritten({ manager }: Work, graceSeconds: number): Promise<boolean> {
  const [row] = await manager.query<{ written: boolean | null }[]>(
    `SELECT bool_and(counted_to BETWEEN clock_timestamp() - make_interval(secs => $1) AND clock_timestamp()) AND NOT EXISTS (
       SELECT FROM keys.usage_journal
       WHERE at NOT BETWEEN clock_timestamp() - make_interval(secs => $1) AND clock_timestamp()) AS written
     FROM keys.usage_writer WHERE counted_to > clock_timestamp() - make_interval(secs => $2)`,
    [LATE_SECONDS, graceSeconds + QUIET_MS / 1_000],
  );
  return row!.written === true;
}

/** Whether a secret was ever used. What was reported late may be among the counts and not yet among the last uses. */
async function wasUsed(
  { manager }: Work,
  previous: SecretEntity,
  usesSinceRotation: number,
): Promise<boolean> {
  if (previous.lastUsedAt !== null || usesSinceRotation > 0) return true;
  const [row] = await manager.query<{ found: boolean }[]>(
    `SELECT EXISTS (SELECT FROM keys.usage_by_minute WHERE key_id = $1 AND secret = $2 AND code = 'VALID') AS found`,
    [previous.keyId, previous.number],
  );
  return row!.found;
}

async function isInUse({ manager }: Work, previous: SecretEntity, nowMs: number): Promise<boolean> {
  // a minute counts as its last moment
  const since = new Date(nowMs - QUIET_MS - 60_000);
  const [row] = await manager.query<{ found: boolean }[]>(
    `SELECT EXISTS (SELECT FROM keys.usage_by_minute WHERE key_id = $1 AND at > $3
       AND (secret = $2 OR (secret = 0 AND superseded))) AS found`,
    [previous.keyId, previous.number, since],
  );
  return row!.found;
}
