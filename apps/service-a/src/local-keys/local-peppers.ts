import type { Pool } from 'pg';
import { deriveKey } from '#key-core';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Version of the pepper that this service makes digests with. */
export const OWN_PEPPER = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** The peppers of this service's keys: its own, and those that came with exports, which are kept sealed. */
export class LocalPeppers {
  /** Made from the service's secret. */
  readonly own: Buffer;
  private readonly sealKey: Buffer;
  private known = new Map<number, Buffer>();

  constructor(
    private readonly pool: Pool,
    secret: Buffer,
  ) {
    this.own = deriveKey(secret, 'service-a/pepper/v1');
    this.sealKey = deriveKey(secret, 'service-a/seal/v1');
    this.known.set(OWN_PEPPER, this.own);
  }

  /** The pepper of a version, undefined where it cannot be opened. @throws where PostgreSQL does not answer */
  async get(version: number): Promise<Buffer | undefined> {
    const known = this.known.get(version);
    if (known !== undefined) return known;
    const { rows } = await this.pool.query<{ sealed: Buffer }>(
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
