import type { ExportedKey } from '#contracts';

const NAMED = 20;

/** Keys have a quota, which this service would let pass without end: it counts none. */
export class LostQuotas extends Error {
  /** @param keyIds at least one */
  constructor(keyIds: readonly string[]) {
    const more = keyIds.length > NAMED ? ` and ${keyIds.length - NAMED} more` : '';
    super(
      `Nothing was taken over: service-a counts no quotas, so that ${keyIds.length} of the keys would be unlimited: ` +
        `${keyIds.slice(0, NAMED).join(', ')}${more}. Revoke them or take their quotas away at the key service, or say --without-quota`,
    );
    this.name = 'LostQuotas';
  }
}

/** Ids of the keys that have a quota. */
export function withQuota(keys: readonly ExportedKey[]): string[] {
  return keys.filter(({ quota }) => quota !== null).map(({ id }) => id);
}
