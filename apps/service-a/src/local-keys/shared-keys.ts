import type { Pool } from 'pg';
import type { KeyProvisioner } from '../provisioning/key-provisioner.js';
import type { SharedKeys } from './dual-provisioner.js';
import type { LocalPeppers } from './local-peppers.js';
import { findRow } from './local-rows.js';
import { tellChanges } from './tell-changes.js';

/**
 * The own store's keys that the key service has, which is told of changes by way of `central`. A connection of `tellingPool` is kept
 * until it has heard.
 */
export function sharedKeysOf(
  { pool, tellingPool, peppers }: { pool: Pool; tellingPool: Pool; peppers: LocalPeppers },
  central: KeyProvisioner,
): SharedKeys {
  return {
    isAhead: async (id) => (await findRow(pool, id))?.standing === 'ahead',
    tell: async (id, from) => {
      const parts = {
        ...{ pool: tellingPool, peppers },
        post: (path: string, body: object) => central.post(path, body, from),
      };
      const told = { rotated: 0, revoked: 0, disabled: 0, failed: [] };
      // what was not told stays noted as such
      await tellChanges(parts, told, id).catch(() => undefined);
    },
  };
}
