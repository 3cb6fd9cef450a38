import type { EntityManager } from 'typeorm';
import type { TouchedKey } from '../changes/marker.js';
import type { Once } from './once.js';

/** The answer to a request that was done, as it is kept. */
export interface Kept {
  request: Buffer;
  /** Its secret, where it had one, is null in it. */
  answer: object;
  touched: TouchedKey[];
  sealedSecret: Buffer | null;
  secretUntil: Date | null;
}

const KEPT_MS = 24 * 60 * 60 * 1_000;

/**
 * Takes an Idempotency-Key for this transaction. While another one holds it this waits for its end, at most as long as a
 * statement may take.
 *
 * @returns null where the key is free, or was last used more than 24 hours ago; else what it was used for
 */
export async function claim(
  manager: EntityManager,
  { principal, key, request }: Once,
  nowMs: number,
): Promise<Kept | null> {
  const dueAt = new Date(nowMs - KEPT_MS);
  const values = [principal, key, request, new Date(nowMs), dueAt];
  const claimed = await manager.query<unknown[]>(CLAIM, values);
  if (claimed.length === 0) {
    const [kept] = await manager.query<[Kept]>(READ, [principal, key]);
    return kept;
  }
  await manager.query(SWEEP, [dueAt, new Date(nowMs)]);
  return null;
}

/** Keeps the answer under the key that the transaction has claimed. */
export async function keep(
  manager: EntityManager,
  { principal, key }: Once,
  { answer, touched, sealedSecret, secretUntil }: Omit<Kept, 'request'>,
): Promise<void> {
  const texts = [JSON.stringify(answer), JSON.stringify(touched)];
  await manager.query(KEEP, [principal, key, ...texts, sealedSecret, secretUntil]);
}

/** Gives a key free: what was done under it was undone. */
export async function release(manager: EntityManager, { principal, key }: Once): Promise<void> {
  await manager.query('DELETE FROM keys.idempotency WHERE principal = $1 AND key = $2', [
    principal,
    key,
  ]);
}

const CLAIM = `
  INSERT INTO keys.idempotency AS i (principal, key, request, created_at) VALUES ($1, $2, $3, $4)
  ON CONFLICT (principal, key) DO UPDATE
    SET request = excluded.request, created_at = excluded.created_at, answer = NULL, touched = NULL,
      sealed_secret = NULL, secret_until = NULL
    WHERE i.created_at < $5
  RETURNING key`;

const READ = `
  SELECT request, answer, touched, sealed_secret AS "sealedSecret", secret_until AS "secretUntil"
  FROM keys.idempotency WHERE principal = $1 AND key = $2`;

const KEEP = `
  UPDATE keys.idempotency SET answer = $3, touched = $4, sealed_secret = $5, secret_until = $6
  WHERE principal = $1 AND key = $2`;

/** Forgets some of what is due: whole records, and secrets. What another transaction holds is left to the next sweep. */
const SWEEP = `
  WITH forgotten AS (
    DELETE FROM keys.idempotency WHERE (principal, key) IN (
      SELECT principal, key FROM keys.idempotency WHERE created_at < $1
      ORDER BY created_at LIMIT 50 FOR UPDATE SKIP LOCKED)
  )
  UPDATE keys.idempotency SET sealed_secret = NULL WHERE (principal, key) IN (
    SELECT principal, key FROM keys.idempotency
    WHERE sealed_secret IS NOT NULL AND secret_until < $2 AND created_at >= $1
    ORDER BY secret_until LIMIT 50 FOR UPDATE SKIP LOCKED)`;
