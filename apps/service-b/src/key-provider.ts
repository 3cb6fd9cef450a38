import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import {
  fromAws,
  fromEnv,
  fromFile,
  fromVault,
  type SecretProvider,
  type VaultAuth,
} from '#key-client';

const text = z.string().min(1).optional();

/** Settings of where the key for service-a comes from. */
export const keyProviderShape = {
  /** Which of the places below; `file` where SERVICE_B_API_KEY_FILE is set, `env` otherwise. */
  SERVICE_B_KEY_PROVIDER: z.enum(['env', 'file', 'vault', 'aws']).optional(),
  /** `env`: the key itself. */
  SERVICE_B_API_KEY: z.string().optional(),
  /** `file`: with the key; it may come later and is read again when it changes. */
  SERVICE_B_API_KEY_FILE: text,
  /** `vault`: HashiCorp Vault or OpenBao, KV version 2. */
  SERVICE_B_VAULT_ADDRESS: z.url({ protocol: /^https?$/ }).optional(),
  SERVICE_B_VAULT_NAMESPACE: text,
  SERVICE_B_VAULT_MOUNT: z.string().min(1).default('secret'),
  SERVICE_B_VAULT_PATH: text,
  SERVICE_B_VAULT_FIELD: z.string().min(1).default('key'),
  /** A token, or a file where an agent keeps one ... */
  SERVICE_B_VAULT_TOKEN: text,
  SERVICE_B_VAULT_TOKEN_FILE: text,
  /** ... or an AppRole, the secret id of which may be in a file too. */
  SERVICE_B_VAULT_ROLE_ID: text,
  SERVICE_B_VAULT_SECRET_ID: text,
  SERVICE_B_VAULT_SECRET_ID_FILE: text,
  /** `aws`: AWS Secrets Manager; credentials come as every AWS SDK finds them. */
  SERVICE_B_AWS_SECRET_ID: text,
  SERVICE_B_AWS_FIELD: text,
  SERVICE_B_AWS_REGION: text,
  SERVICE_B_AWS_ENDPOINT: z.url().optional(),
};
export type KeyProviderConfig = z.infer<z.ZodObject<typeof keyProviderShape>>;
type Provider = NonNullable<KeyProviderConfig['SERVICE_B_KEY_PROVIDER']>;

/** What has to be set for each place; of several in one row, one. */
const NEEDED: Record<Provider, (keyof KeyProviderConfig)[][]> = {
  env: [['SERVICE_B_API_KEY', 'SERVICE_B_API_KEY_FILE']],
  file: [['SERVICE_B_API_KEY_FILE']],
  vault: [
    ['SERVICE_B_VAULT_ADDRESS'],
    ['SERVICE_B_VAULT_PATH'],
    ['SERVICE_B_VAULT_TOKEN', 'SERVICE_B_VAULT_TOKEN_FILE', 'SERVICE_B_VAULT_ROLE_ID'],
  ],
  aws: [['SERVICE_B_AWS_SECRET_ID']],
};

/** What is missing for the place that is chosen: for each setting the variable, and those that would do as well. */
export function missingFor(config: KeyProviderConfig): { path: string; error: string }[] {
  return NEEDED[providerOf(config)]
    .filter((names) => names.every((name) => config[name] === undefined))
    .map(([name, ...others]) => ({
      path: name!,
      error: ['set this', ...others].join(' or '),
    }));
}

/** The place that is chosen. A reading that fails while a key is known is a warning in the log. */
export function secretOf(config: KeyProviderConfig, log: Logger): SecretProvider {
  const onError = (err: unknown) => log.warn({ err }, 'the key could not be read anew');
  return MAKERS[providerOf(config)](config, onError);
}

type Maker = (config: KeyProviderConfig, onError: (error: unknown) => void) => SecretProvider;

const MAKERS: Record<Provider, Maker> = {
  env: (config) => fromEnv('SERVICE_B_API_KEY', config),
  file: (config) => fromFile(config.SERVICE_B_API_KEY_FILE!),
  vault: (config, onError) =>
    fromVault({
      address: config.SERVICE_B_VAULT_ADDRESS!,
      ...given('namespace', config.SERVICE_B_VAULT_NAMESPACE),
      auth: vaultAuthOf(config),
      mount: config.SERVICE_B_VAULT_MOUNT,
      path: config.SERVICE_B_VAULT_PATH!,
      field: config.SERVICE_B_VAULT_FIELD,
      onError,
    }),
  aws: (config, onError) =>
    fromAws({
      secretId: config.SERVICE_B_AWS_SECRET_ID!,
      ...given('field', config.SERVICE_B_AWS_FIELD),
      ...given('region', config.SERVICE_B_AWS_REGION),
      ...given('endpoint', config.SERVICE_B_AWS_ENDPOINT),
      onError,
    }),
};

function providerOf(config: KeyProviderConfig): Provider {
  const isFile = config.SERVICE_B_API_KEY_FILE !== undefined;
  return config.SERVICE_B_KEY_PROVIDER ?? (isFile ? 'file' : 'env');
}

/** What is in a file is read again when Vault refuses it. */
function vaultAuthOf(config: KeyProviderConfig): VaultAuth {
  const roleId = config.SERVICE_B_VAULT_ROLE_ID;
  const { SERVICE_B_VAULT_TOKEN: token, SERVICE_B_VAULT_TOKEN_FILE: tokenFile } = config;
  const { SERVICE_B_VAULT_SECRET_ID: secretId, SERVICE_B_VAULT_SECRET_ID_FILE: idFile } = config;
  if (roleId === undefined) return { token: fileOr(tokenFile, token) ?? '' };
  return { roleId, ...given('secretId', fileOr(idFile, secretId)) };
}

function fileOr(path: string | undefined, text: string | undefined) {
  return path === undefined ? text : () => readFile(path, 'utf8');
}

function given<K extends string, T>(name: K, value: T | undefined): Partial<Record<K, T>> {
  return value === undefined ? {} : ({ [name]: value } as Record<K, T>);
}
