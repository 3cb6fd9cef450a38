import type { Pool } from 'pg';
import { importedKeys, MAX_LEGACY_KEY_CHARACTERS, type ImportedKeys } from '#contracts';
import { SERVICE } from '../provisioning/key-provisioner.js';
import { OWN_PEPPER, type LocalPeppers } from './local-peppers.js';

const OWN_SHAPE = { minLength: 70, maxLength: 100 };
const FOREIGN_SHAPE = { minLength: 8, maxLength: MAX_LEGACY_KEY_CHARACTERS };

/** Calls the key service as an admin: `POST` with a body. */
export type PostAsAdmin = (
  path: string,
  body: object,
) => Promise<{ status: number; body: unknown }>;

/** What this service's own keys are handed over with. */
export interface HandOverParts {
  pool: Pool;
  peppers: LocalPeppers;
  post: PostAsAdmin;
}

/** Imports items whose digests are under one pepper. @throws Error where the key service does not take the call */
export async function importUnder(
  { peppers, post }: HandOverParts,
  version: number,
  items: readonly object[],
): Promise<ImportedKeys> {
  const pepper = await peppers.get(version);
  if (pepper === undefined) throw new Error(`The pepper ${version} cannot be opened`);
  const scheme = {
    ...{ algorithm: 'keyward-local', encoding: 'base64url', key: pepper.toString('base64') },
    // what came with an export may be of another form than ours
    shape: version === OWN_PEPPER ? OWN_SHAPE : FOREIGN_SHAPE,
  };
  const source = `local-${version}`;
  const answer = await post('/v1/imports', { service: SERVICE, source, scheme, items });
  if (answer.status !== 200)
    throw new Error(`Importing was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return importedKeys.parse(answer.body);
}
