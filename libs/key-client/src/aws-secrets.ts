import { SecretStoreError } from './secret-provider.js';

/** How to get to AWS Secrets Manager; what is left out is found as every AWS SDK does. */
export interface AwsOptions {
  region?: string;
  /** Another address than that of the region, such as of a VPC endpoint. */
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  /** Bound of one operation with its retries, in milliseconds; 3,000 by default. */
  timeoutMs?: number;
}

/** Reads and writes secrets by name or ARN. */
export interface AwsSecrets {
  /** @returns null where there is no such secret, or no version of it with that label */
  get(secretId: string, stage: string): Promise<string | null>;
  /** Makes it the current version, and the secret where there is none. @returns id of the version */
  put(secretId: string, text: string): Promise<string | null>;
}

type Sdk = typeof import('@aws-sdk/client-secrets-manager');
type Client = InstanceType<Sdk['SecretsManagerClient']>;

const TIMEOUT_MS = 3_000;
/** By the names that the service gives its errors: those that are an answer, and not a fault of the moment. */
const REFUSALS =
  /^(?:AccessDenied|.*NotAuthorized|.*NotFound|Invalid|Malformed|Validation|Limit|ResourceExists|PreconditionNotMet|Decryption|Encryption|UnrecognizedClient|IncompleteSignature|MissingAuthentication|ExpiredToken|CredentialsProvider)/;

/** Prepares the way; the SDK is loaded when it is first used. */
export function awsSecretsOf({ timeoutMs = TIMEOUT_MS, ...options }: AwsOptions): AwsSecrets {
  let opened: Promise<Opened> | null = null;
  const use = async <T>(work: (open: Open) => Promise<T>): Promise<T> => {
    opened ??= open(options);
    try {
      return await work({ ...(await opened), limit: AbortSignal.timeout(timeoutMs) });
    } catch (error) {
      throw toStoreError(error);
    }
  };
  return {
    get: (secretId, stage) => use((open) => getText(open, secretId, stage)),
    put: (secretId, text) => use((open) => putText(open, secretId, text)),
  };
}

/** The SDK at work. */
interface Opened {
  sdk: Sdk;
  client: Client;
}

/** The same for one operation. */
interface Open extends Opened {
  limit: AbortSignal;
}

async function open({ region, endpoint, credentials }: AwsOptions): Promise<Opened> {
  const sdk = await loadSdk(() => import('@aws-sdk/client-secrets-manager'));
  const client = new sdk.SecretsManagerClient({
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    // A copy: the SDK leaves marks on what it is given.
    ...(credentials !== undefined && { credentials: { ...credentials } }),
  });
  return { sdk, client };
}

async function getText(
  { sdk, client, limit }: Open,
  SecretId: string,
  VersionStage: string,
): Promise<string | null> {
  const command = new sdk.GetSecretValueCommand({ SecretId, VersionStage });
  const answer = await client.send(command, { abortSignal: limit }).catch(nullWhereNotFound);
  return answer?.SecretString ?? textOf(answer?.SecretBinary);
}

async function putText(
  { sdk, client, limit: abortSignal }: Open,
  SecretId: string,
  SecretString: string,
): Promise<string | null> {
  const put = new sdk.PutSecretValueCommand({ SecretId, SecretString });
  const answer = await client.send(put, { abortSignal }).catch(nullWhereNotFound);
  if (answer !== null) return answer.VersionId ?? null;
  const create = new sdk.CreateSecretCommand({ Name: SecretId, SecretString });
  return (await client.send(create, { abortSignal })).VersionId ?? null;
}

/**
 * Of any type, for the declarations of this package must not name the SDK: who does not use it has none.
 *
 * @throws SecretStoreError saying what to install where the SDK is not there
 */
export async function loadSdk<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error;
    const message =
      'AWS Secrets Manager needs a package: npm install @aws-sdk/client-secrets-manager';
    throw new SecretStoreError(message, true);
  }
}

function nullWhereNotFound(error: unknown): null {
  if ((error as Error).name === 'ResourceNotFoundException') return null;
  throw error;
}

function textOf(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString('utf8');
}

/** By its name alone: the SDK's errors carry more of the exchange than anybody should print. */
function toStoreError(error: unknown): SecretStoreError {
  if (error instanceof SecretStoreError) return error;
  const { name } = error as Error;
  return REFUSALS.test(name)
    ? new SecretStoreError(`AWS Secrets Manager refuses (${name})`, true)
    : new SecretStoreError(
        `AWS Secrets Manager cannot be reached or cannot answer (${name})`,
        false,
      );
}
