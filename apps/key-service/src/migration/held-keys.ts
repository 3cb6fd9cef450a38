import type { Pool } from 'pg';
import { fitsShape } from '#key-core/legacy';
import type { ImportRules } from './import-rules.js';

const MAX_REMEMBERED = 50_000;

/**
 * Keys with the form of our own that came with an import, for services whose old side alone counts for them. A use in `dual` gives such
 * a key a digest of ours, by which it would open after the service has gone back to `shadow`, whatever the old side says of it.
 */
export class HeldKeys {
  /** Imports that keys came with, null for those that were issued here: neither ever changes. */
  private readonly origins = new Map<string, string | null>();

  constructor(private readonly parts: { rules: ImportRules; pool: Pool }) {}

  /** Whether a text may be such a key; from memory, and hardly any work for all other services. */
  mayBe({ text, service }: { text: string; service: string }): boolean {
    for (const { mode, scheme } of this.parts.rules.of(service))
      if (mode === 'shadow' && fitsShape(scheme, text)) return true;
    return false;
  }

  /** Whether a key that is there is one. @throws where PostgreSQL does not answer */
  async is(keyId: string, service: string): Promise<boolean> {
    const origin = await this.originOf(keyId);
    return this.parts.rules.of(service).some(({ id, mode }) => mode === 'shadow' && id === origin);
  }

  private async originOf(keyId: string): Promise<string | null> {
    const known = this.origins.get(keyId);
    if (known !== undefined) return known;
    const { rows } = await this.parts.pool.query<{ import_id: string }>({
      ...{ name: 'import-of-key', values: [keyId] },
      text: 'SELECT import_id FROM keys.imported_key WHERE key_id = $1',
    });
    const origin = rows[0]?.import_id ?? null;
    this.origins.set(keyId, origin);
    if (this.origins.size > MAX_REMEMBERED) this.origins.delete(this.origins.keys().next().value!);
    return origin;
  }
}
