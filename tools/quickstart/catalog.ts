import { issuedKey, tokenPair } from '#contracts';
import { call, type Answer, type Call } from './http.js';
import type { Urls } from './apps.js';

/** Who changes things on the platform. */
export interface Admin {
  username: string;
  password: string;
}

/**
 * Logs in at login.
 *
 * @returns the access token
 * @throws Error in one clear line when the credentials are refused
 */
export async function logIn(urls: Pick<Urls, 'login'>, admin: Admin): Promise<string> {
  const answer = await call(`${urls.login}/v1/login`, {
    body: { username: admin.username, password: admin.password },
  });
  if (answer.status === 401) {
    throw new Error(
      `The database has an admin "${admin.username}" with another password; set ADMIN_PASSWORD to it, or use an empty database`,
    );
  }
  return tokenPair.parse(expectOneOf(answer, [200], 'Logging in')).accessToken;
}

/** Makes sure that the key service knows service-a, with the scopes of its reports, and the consumer service-b. */
export async function ensureCatalog(urls: Pick<Urls, 'keyService'>, token: string): Promise<void> {
  const create = (path: string, body: unknown) =>
    call(`${urls.keyService}${path}`, { ...bearer(token), body });
  const service = { slug: 'service-a', scopes: ['reports:read', 'reports:write'] };
  expectOneOf(await create('/v1/services', service), [201, 409], 'Creating service-a');
  const consumer = { slug: 'service-b' };
  expectOneOf(await create('/v1/consumers', consumer), [201, 409], 'Creating service-b');
}

/**
 * Has a key made with which service-b may use service-a.
 *
 * @returns the text of the key
 */
export async function issueFirstKey(
  urls: Pick<Urls, 'keyService'>,
  token: string,
): Promise<string> {
  const answer = await call(`${urls.keyService}/v1/keys`, {
    ...bearer(token),
    body: {
      name: "service-b's first key",
      consumer: 'service-b',
      grants: [{ service: 'service-a', scopes: ['reports:read', 'reports:write'] }],
    },
  });
  return issuedKey.parse(expectOneOf(answer, [201], "Creating service-b's key")).secret;
}

/** Headers of a call with an access token. */
export function bearer(token: string): Call {
  return { headers: { authorization: `Bearer ${token}` } };
}

function expectOneOf(answer: Answer, statuses: number[], what: string): unknown {
  if (statuses.includes(answer.status)) return answer.body;
  throw new Error(`${what} was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
}
