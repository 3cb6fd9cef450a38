const TIMEOUT_MS = 2_000;
const MAX_CHARACTERS = 64 * 1024;

/**
 * Reads a JSON Web Key Set over HTTP; redirects are not followed. After 2 s it gives up, and the verifier goes on with the
 * keys it has.
 */
export async function fetchKeys(url: string): Promise<unknown> {
  const response = await fetch(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  if (response.status !== 200)
    throw new Error(`The issuer answered ${response.status} for its keys`);
  if (text.length > MAX_CHARACTERS) throw new Error('The JSON Web Key Set is too large');
  return JSON.parse(text) as unknown;
}
