import { z } from 'zod';
import { connectVault, type VaultConnection, type VaultOptions } from './connect-vault.js';
import { holdSecret, type HoldOptions } from './hold-secret.js';
import {
  SecretStoreError,
  type WritableSecretProvider,
  type WrittenSecret,
} from './secret-provider.js';
import { vaultPathOf } from './vault-call.js';

/** Which field of which secret of a KV engine, version 2. */
export interface VaultSecret {
  /** Where the engine is mounted; `secret` by default. */
  mount?: string;
  /** Of the secret, without the `data/` of the API. */
  path: string;
  /** Its field that holds the key; `key` by default. */
  field?: string;
}

/** Where the key is in Vault, how to get there, and how long to hold it. */
export type FromVaultOptions = VaultSecret &
  HoldOptions &
  (VaultOptions | { connection: VaultConnection });

const MAX_TRIES = 3;

const fields = z.record(z.string(), z.unknown());
const metadata = z.object({ version: z.int().min(1) });
/** Of a version that was deleted the fields are null, and the status is 404. */
const found = z.object({ data: z.object({ data: fields.nullable(), metadata }) });
const stored = z.object({ data: metadata });
const refusal = z.object({ errors: z.array(z.string()) });

/**
 * The key in HashiCorp Vault or OpenBao, secrets engine KV version 2. It is held for some minutes (see {@link HoldOptions});
 * a service that refuses it, or says that it ends, makes for a new reading. Writing keeps the secret's other fields, unless
 * the policy does not allow to read them, and loses no version that somebody else writes meanwhile.
 */
export function fromVault(options: FromVaultOptions): WritableSecretProvider {
  const connection = 'connection' in options ? options.connection : connectVault(options);
  const { mount = 'secret', path, field = 'key' } = options;
  const place = { connection, field, path: vaultPathOf(mount, 'data', path) };
  return {
    source: 'vault',
    place: `field ${field} of ${mount}/${path} in Vault`,
    lack: () => 'is not there, or is empty',
    ...holdSecret(() => read(place), options),
    write: (secret) => write(place, secret),
  };
}

interface Place {
  connection: VaultConnection;
  path: string;
  field: string;
}

async function read({ connection, path, field }: Place): Promise<string | null> {
  const { status, body } = await connection.call({ method: 'GET', path });
  if (status === 404) return null;
  const { data } = found.safeParse(body);
  if (status !== 200 || !data) throw refused('the secret is not to be read', status);
  const value = data.data.data?.[field];
  if (value === undefined) return null;
  if (typeof value !== 'string') throw refused(`field ${field} of the secret is not text`, status);
  return value.trim() || null;
}

async function write(place: Place, secret: string): Promise<WrittenSecret> {
  const { connection, path, field } = place;
  for (let tries = 1; ; tries += 1) {
    const before = await state(place);
    const { status, body } = await connection.call({
      method: 'POST',
      path,
      body: {
        data: { ...before?.fields, [field]: secret },
        // Only over the version that was read: somebody else may write another field at the same time.
        options: before === null ? {} : { cas: before.version },
      },
    });
    const { data } = stored.safeParse(body);
    if (status === 200 && data) return { version: String(data.data.version) };
    if (tries === MAX_TRIES || !isOvertaken(status, body))
      throw refused('the secret is not to be written', status);
  }
}

/** The fields that there are and their version; 0 where there never was one, null where they may not be read. */
async function state({
  connection,
  path,
}: Place): Promise<{ version: number; fields: object } | null> {
  const { status, body } = await connection.call({ method: 'GET', path });
  if (status === 403) return null;
  const { data } = found.safeParse(body);
  if (data) return { version: data.data.metadata.version, fields: data.data.data ?? {} };
  if (status === 404) return { version: 0, fields: {} };
  throw refused('the secret is not to be read', status);
}

function isOvertaken(status: number, body: unknown): boolean {
  if (status !== 400) return false;
  const errors = refusal.safeParse(body).data?.errors ?? [];
  return errors.some((one) => one.includes('check-and-set'));
}

function refused(what: string, status: number): SecretStoreError {
  return new SecretStoreError(`Vault says that ${what} (${status})`, true);
}
