import type { Pool } from 'pg';
import { deriveKey } from '#key-core';
import { ConfigError } from '#server';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Version of the pepper that this service makes digests with. */
export const OWN_PEPPER = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The secret is not the one that the keys in the database were made with: nothing can be said of them. */
export class ForeignSecret extends ConfigError {
  override name = 'ForeignSecret';
  override message =
    'SERVICE_A_KEY_SECRET is not the one that the keys in this database were made with; set that one';
}

/** The peppers of this service's keys: its own, and those that came with exports, which are kept sealed. */
export class LocalPeppers {
  /** Made from the service's secret. */
  readonly own: Buffer;
  private readonly sealKey: Buffer;
  private readonly knownBy: Buffer;
  private isConfirmed = false;
  private known = new Map<number, Buffer>();

  constructor(
    private readonly pool: Pool,
    secret: Buffer,
  ) {
    this.own = deriveKey(secret, 'service-a/pepper/v1');
    this.sealKey = deriveKey(secret, 'service-a/seal/v1');
    this.knownBy = deriveKey(secret, 'service-a/known-by/v1');
    this.known.set(OWN_PEPPER, this.own);
  }

  /** Makes sure, once, that the secret is that of the database; the first one ever is. @throws ForeignSecret, or where PostgreSQL does not answer */
  async confirm(): Promise<void> {
    if (this.isConfirmed) return;
    await this.pool.query(
      'INSERT INTO service_a.own_secret (known_by) VALUES ($1) ON CONFLICT DO NOTHING',
      [this.knownBy],
    );
    const { rows } = await this.pool.query<{ known_by: Buffer }>(
      'SELECT known_by FROM service_a.own_secret',
    );
    if (rows[0]?.known_by.equals(this.knownBy) !== true) throw new ForeignSecret();
    this.isConfirmed = true;
  }

  /** Peppers that came with exports. @throws where PostgreSQL does not answer */
  async taken(pool: Pool): Promise<Buffer[]> {
    const { rows } = await pool.query<{ version: number }>('SELECT version FROM service_a.pepper');
    const peppers = await Promise.all(rows.map(({ version }) => this.get(version, pool)));
    return peppers.filter((one) => one !== undefined);
  }

  /** The pepper of a version, undefined where it cannot be opened. @throws where PostgreSQL does not answer */
  async get(version: number, pool = this.pool): Promise<Buffer | undefined> {
    const known = this.known.get(version);
    if (known !== undefined) return known;
    const { rows } = await pool.query<{ sealed: Buffer }>(
      'SELECT sealed FROM service_a.pepper WHERE version = $1',
      [version],
    );
    const pepper = rows[0] && this.open(rows[0].sealed);
    if (pepper !== undefined) this.known.set(version, pepper);
    return pepper;
  }

  /** Seals a pepper that came with an export. */
  seal(pepper: Buffer): Buffer {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.sealKey, iv, { authTagLength: TAG_BYTES });
    const body = Buffer.concat([cipher.update(pepper), cipher.final()]);
    return Buffer.concat([iv, cipher.getAuthTag(), body]);
  }

  private open(sealed: Buffer): Buffer | undefined {
    const decipher = createDecipheriv('aes-256-gcm', this.sealKey, sealed.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const body = decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES));
    try {
      return Buffer.concat([body, decipher.final()]);
    } catch {
      return undefined;
    }
  }
}
