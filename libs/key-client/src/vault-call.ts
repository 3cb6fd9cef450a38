import { SecretStoreError } from './secret-provider.js';

/** Where a Vault or OpenBao is, and how it is spoken to. */
export interface VaultPlace {
  /** Base URL, such as `https://vault.example.com:8200`. */
  address: string | URL;
  /** Sent as `X-Vault-Namespace`; of Vault Enterprise and OpenBao. */
  namespace?: string;
  /** Bound of one request, in milliseconds; 3,000 by default. */
  timeoutMs?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** A request to it; `path` is what follows `/v1/`. */
export interface VaultCall {
  method: 'GET' | 'POST';
  path: string;
  token?: string;
  body?: object;
}

/** Its answer; `body` is undefined where it is not JSON. */
export interface VaultAnswer {
  status: number;
  body: unknown;
}

const TIMEOUT_MS = 3_000;

/**
 * Makes one request. No redirect is followed, as it would carry the token elsewhere: name the address that answers.
 *
 * @throws SecretStoreError where there is no answer, or one that says that it cannot answer at present
 */
export async function callVault(place: VaultPlace, call: VaultCall): Promise<VaultAnswer> {
  const { status, text } = await send(place, call).catch((error: unknown) => {
    throw new SecretStoreError(`Vault cannot be reached (${reasonOf(error)})`, false);
  });
  if (status === 429 || status >= 500)
    throw new SecretStoreError(`Vault cannot answer at present (${status})`, false);
  return { status, body: parsed(text) };
}

/** Path of several names, none of which may lead elsewhere. @throws TypeError */
export function vaultPathOf(...names: string[]): string {
  const segments = names.flatMap((name) => name.replace(/^\/+|\/+$/g, '').split('/'));
  if (segments.some((one) => one === '' || one === '.' || one === '..'))
    throw new TypeError('A path in Vault is made of names that are joined by single slashes');
  return segments.map(encodeURIComponent).join('/');
}

async function send(
  { address, namespace, timeoutMs = TIMEOUT_MS, fetch: ask = fetch }: VaultPlace,
  { method, path, token, body }: VaultCall,
): Promise<{ status: number; text: string }> {
  const base = String(address).replace(/\/+$/, '');
  const response = await ask(`${base}/v1/${path}`, {
    method,
    headers: {
      'x-vault-request': 'true',
      ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
      ...(token !== undefined && { 'x-vault-token': token }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error',
  });
  return { status: response.status, text: await response.text() };
}

function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: unknown; cause?: { code?: unknown } };
  if (typeof cause?.code === 'string') return cause.code;
  return typeof name === 'string' ? name : 'unknown';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
