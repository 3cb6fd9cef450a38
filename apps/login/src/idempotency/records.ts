import type { EntityManager } from 'typeorm';
import type { Once } from './once.js';

/** The answer to a request that was done, as it is kept. */
export interface Kept {
  /** Digest of what was asked for. */
  request: Buffer;
  /** Without its secret. */
  answer: object;
  /** Null where it had none, or 10 minutes have passed. */
  sealedSecret: Buffer | null;
}

type Name = Pick<Once, 'principal' | 'key'>;

/**
 * Takes an Idempotency-Key for this transaction. While another one holds it this waits for its end, at most as long as a
 * statement may take.
 *
 * @returns null where the key is free, or was last used more than 24 hours ago; else what it was used for
 */
export async function claim(
  manager: EntityManager,
  { principal, key, request }: Name & Pick<Kept, 'request'>,
): Promise<Kept | null> {
  const claimed = await manager.query<unknown[]>(CLAIM, [principal, key, request]);
  if (claimed.length === 0) {
    const [kept] = await manager.query<[Kept]>(READ, [principal, key]);
    return kept;
  }
  await manager.query(SWEEP);
  return null;
}

/** Keeps the answer under the key that the transaction has claimed. */
export async function keep(
  manager: EntityManager,
  { principal, key }: Name,
  { answer, sealedSecret }: Omit<Kept, 'request'>,
): Promise<void> {
  await manager.query(KEEP, [principal, key, JSON.stringify(answer), sealedSecret]);
}

const CLAIM = `
  INSERT INTO login.idempotency AS i (principal, sent_under, request) VALUES ($1, $2, $3)
  ON CONFLICT (principal, sent_under) DO UPDATE
    SET request = excluded.request, created_at = excluded.created_at, answer = NULL,
      sealed_secret = NULL, secret_until = NULL
    WHERE i.created_at < now() - interval '24 hours'
  RETURNING sent_under`;

const READ = `
  SELECT request, answer,
    CASE WHEN secret_until > clock_timestamp() THEN sealed_secret END AS "sealedSecret"
  FROM login.idempotency WHERE principal = $1 AND sent_under = $2`;

const KEEP = `
  UPDATE login.idempotency SET answer = $3, sealed_secret = $4,
    secret_until = CASE WHEN $4::bytea IS NULL THEN NULL ELSE now() + interval '10 minutes' END
  WHERE principal = $1 AND sent_under = $2`;

/** Forgets some of what is due: whole records, and secrets. What another transaction holds is left to the next sweep. */
const SWEEP = `
  WITH forgotten AS (
    DELETE FROM login.idempotency WHERE (principal, sent_under) IN (
      SELECT principal, sent_under FROM login.idempotency WHERE created_at < now() - interval '24 hours'
      ORDER BY created_at LIMIT 50 FOR UPDATE SKIP LOCKED)
  )
  UPDATE login.idempotency SET sealed_secret = NULL WHERE (principal, sent_under) IN (
    SELECT principal, sent_under FROM login.idempotency
    WHERE sealed_secret IS NOT NULL AND secret_until < now() AND created_at >= now() - interval '24 hours'
    ORDER BY secret_until LIMIT 50 FOR UPDATE SKIP LOCKED)`;
