import { awsSecretsOf, type AwsOptions, type AwsSecrets } from './aws-secrets.js';
import { holdSecret, type HoldOptions } from './hold-secret.js';
import { parseFields } from './parse-fields.js';
import { SecretStoreError, type WritableSecretProvider } from './secret-provider.js';

/** Where the key is in AWS Secrets Manager, how to get there, and how long to hold it. */
export interface FromAwsOptions extends AwsOptions, HoldOptions {
  /** Name or ARN of the secret. */
  secretId: string;
  /** Member of the secret's JSON that holds the key; left out where the secret is the key itself. */
  field?: string;
  /** Staging label of the version to read; `AWSCURRENT` by default. Writing always makes the current one. */
  stage?: 'AWSCURRENT' | 'AWSPREVIOUS';
}

/**
 * The key in AWS Secrets Manager. It is held for some minutes (see {@link HoldOptions}); a service that refuses it, or says
 * that it ends, makes for a new reading. Writing makes a version that is `AWSCURRENT`, and so the one before
 * `AWSPREVIOUS`; it keeps the other members of a secret that is JSON, and makes a secret that is not there yet.
 *
 * Needs the package `@aws-sdk/client-secrets-manager`, which is loaded when it is first used.
 */
export function fromAws(options: FromAwsOptions): WritableSecretProvider {
  const { secretId, field, stage = 'AWSCURRENT' } = options;
  const secrets = awsSecretsOf(options);
  const place: Place = { secrets, secretId, field };
  return {
    source: 'aws',
    place: `${field === undefined ? '' : `member ${field} of `}secret ${secretId} (${stage}) in AWS Secrets Manager`,
    lack: () => 'is not there, or is empty',
    ...holdSecret(async () => keyIn(await secrets.get(secretId, stage), field), options),
    write: async (secret) => ({
      version: await secrets.put(secretId, await textWith(place, secret)),
    }),
  };
}

interface Place {
  secrets: AwsSecrets;
  secretId: string;
  field: string | undefined;
}

function keyIn(text: string | null, field: string | undefined): string | null {
  if (text === null || field === undefined) return text?.trim() || null;
  const fields = parseFields(text);
  if (fields === null) throw new SecretStoreError('The secret in AWS is not a JSON object', true);
  const value = fields[field];
  if (value === undefined) return null;
  if (typeof value !== 'string')
    throw new SecretStoreError(`Member ${field} of the secret in AWS is not text`, true);
  return value.trim() || null;
}

async function textWith({ secrets, secretId, field }: Place, secret: string): Promise<string> {
  if (field === undefined) return secret;
  const text = await secrets.get(secretId, 'AWSCURRENT');
  const fields = text === null ? {} : parseFields(text);
  if (fields === null) throw new SecretStoreError('The secret in AWS is not a JSON object', true);
  return JSON.stringify({ ...fields, [field]: secret });
}
