import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Pool, PoolClient } from 'pg';
import { askedIn, idempotencyKeyOf, reusedKey } from '#server';

/** A request that its sender may repeat without doing it twice. */
export interface Once {
  /** Who sent it: keys are each one's own. */
  principal: string;
  key: string;
  /** SHA-256 of what is asked for. */
  request: Buffer;
}

/** What is answered, and whether it had been done before. */
export interface Done<T> {
  answer: T;
  isReplay: boolean;
}

/** {@link Once}, null where no `Idempotency-Key` was sent. @throws ProblemException INVALID_HEADER */
export function onceOf(from: FastifyRequest, principal: string): Once | null {
  const key = idempotencyKeyOf(from);
  if (key === null) return null;
  return { principal, key, request: createHash('sha256').update(askedIn(from)).digest() };
}

/** An answer with the one secret that there may be; repeated after 10 minutes it comes without. */
type Answer = object & { secret?: string };

interface Kept {
  request: Buffer;
  answer: object;
  sealedSecret: Buffer | null;
}

/** Forgets what is due, of which each new key only forgets a little: asked again and again it leaves no secret long after its 10 minutes. */
export async function forgetRepeated(pool: Pick<Pool, 'query'>): Promise<void> {
  await pool.query(SWEEP);
}

/** Does what is asked for under an Idempotency-Key once, in the transaction of the change itself: there are both or neither. */
export class RepeatedChanges {
  /** @param sealKey what secrets are sealed with until they may not be repeated any more */
  constructor(private readonly sealKey: Buffer) {}

  /**
   * Those who ask at the same time wait for it, and get its answer.
   *
   * @param once null where the request may not be repeated
   * @throws ProblemException IDEMPOTENCY_KEY_REUSED where the key was used for something else
   */
  async run<T extends Answer>(
    client: PoolClient,
    once: Once | null,
    work: () => Promise<T>,
  ): Promise<Done<T>> {
    if (once === null) return { answer: await work(), isReplay: false };
    const kept = await claim(client, once);
    if (kept !== null) {
      if (!kept.request.equals(once.request)) throw reusedKey();
      return { answer: this.answerOf(once, kept) as T, isReplay: true };
    }
    const answer = await work();
    await this.keep(client, once, answer);
    return { answer, isReplay: false };
  }

  private async keep(client: PoolClient, once: Once, { secret, ...rest }: Answer): Promise<void> {
    const sealed = secret === undefined ? null : this.seal(once, secret);
    await client.query(KEEP, [once.principal, once.key, JSON.stringify(rest), sealed]);
  }

  private answerOf(once: Once, { answer, sealedSecret }: Kept): Answer {
    return sealedSecret === null ? answer : { ...answer, secret: this.open(once, sealedSecret) };
  }

  private seal(once: Once, secret: string): Buffer {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.sealKey, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(placeOf(once));
    const body = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), body]);
  }

  private open(once: Once, sealed: Buffer): string {
    const iv = sealed.subarray(0, IV_BYTES);
    const decipher = createDecipheriv(CIPHER, this.sealKey, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(placeOf(once));
    decipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const body = decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES));
    return Buffer.concat([body, decipher.final()]).toString('utf8');
  }
}

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

function placeOf({ principal, key }: Once): Buffer {
  return Buffer.from(JSON.stringify([principal, key]));
}

/** What a key was used for, null where it is free or its 24 hours are over; waits for another who holds it. */
async function claim(client: PoolClient, { principal, key, request }: Once): Promise<Kept | null> {
  const claimed = await client.query(CLAIM, [principal, key, request]);
  if (claimed.rowCount === 0) {
    const { rows } = await client.query<Kept>(READ, [principal, key]);
    return rows[0]!;
  }
  await client.query(SWEEP);
  return null;
}

const CLAIM = `
  INSERT INTO service_a.idempotency AS i (principal, sent_under, request) VALUES ($1, $2, $3)
  ON CONFLICT (principal, sent_under) DO UPDATE
    SET request = excluded.request, created_at = excluded.created_at, answer = NULL, sealed_secret = NULL,
      secret_until = NULL
    WHERE i.created_at < now() - interval '24 hours'`;

const READ = `
  SELECT request, answer,
    CASE WHEN secret_until > clock_timestamp() THEN sealed_secret END AS "sealedSecret"
  FROM service_a.idempotency WHERE principal = $1 AND sent_under = $2`;

const KEEP = `
  UPDATE service_a.idempotency SET answer = $3, sealed_secret = $4,
    secret_until = CASE WHEN $4::bytea IS NULL THEN NULL ELSE now() + interval '10 minutes' END
  WHERE principal = $1 AND sent_under = $2`;

/** Forgets some of what is due: whole records, and secrets. What another transaction holds is left to the next sweep. */
const SWEEP = `
  WITH forgotten AS (
    DELETE FROM service_a.idempotency WHERE (principal, sent_under) IN (
      SELECT principal, sent_under FROM service_a.idempotency WHERE created_at < now() - interval '24 hours'
      ORDER BY created_at LIMIT 50 FOR UPDATE SKIP LOCKED)
  )
  UPDATE service_a.idempotency SET sealed_secret = NULL WHERE (principal, sent_under) IN (
    SELECT principal, sent_under FROM service_a.idempotency
    WHERE sealed_secret IS NOT NULL AND secret_until < now() AND created_at >= now() - interval '24 hours'
    ORDER BY secret_until LIMIT 50 FOR UPDATE SKIP LOCKED)`;
