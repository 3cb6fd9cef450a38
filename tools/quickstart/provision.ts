import { existsSync } from 'node:fs';
import { issuedKey, tokenPair } from '#contracts';
import type { Urls } from './apps.js';
import { writePrivate } from './home.js';
import { call, type Answer, type Call } from './http.js';

/** Who changes things on the platform. */
export interface Admin {
  username: string;
  password: string;
}

/**
 * Makes what the three flows need: the service service-a with the scopes of its reports, the consumer service-b and, where
 * the file is not there yet, a key for it. Safe to be repeated.
 *
 * @param keyFile where service-b reads its key
 * @throws Error saying what to do where the admin may not log in
 */
export async function provision(
  urls: Pick<Urls, 'login' | 'keyService'>,
  admin: Admin,
  keyFile: string,
): Promise<void> {
  const token = await logIn(urls.login, admin);
  if (token === null) {
    throw new Error(
      `The database has an admin "${admin.username}" with another password; set ADMIN_PASSWORD to it, or use an empty database`,
    );
  }
  await ensureCatalog(urls.keyService, token);
  if (!existsSync(keyFile)) writePrivate(keyFile, `${await issueKey(urls.keyService, token)}\n`);
}

/** Access token of a person, or null where login refuses the credentials. */
export async function logIn(login: string, admin: Admin): Promise<string | null> {
  const { username, password } = admin;
  const answer = await call(`${login}/v1/login`, { body: { username, password } });
  if (answer.status === 401) return null;
  return tokenPair.parse(expectOneOf(answer, [200], 'Logging in')).accessToken;
}

/** Headers of a call with an access token. */
export function bearer(token: string): Required<Pick<Call, 'headers'>> {
  return { headers: { authorization: `Bearer ${token}` } };
}

async function ensureCatalog(keyService: string, token: string): Promise<void> {
  const create = (path: string, body: unknown) =>
    call(`${keyService}${path}`, { ...bearer(token), body });
  const service = { slug: 'service-a', scopes: ['reports:read', 'reports:write'] };
  expectOneOf(await create('/v1/services', service), [201, 409], 'Creating service-a');
  const consumer = { slug: 'service-b' };
  expectOneOf(await create('/v1/consumers', consumer), [201, 409], 'Creating service-b');
}

async function issueKey(keyService: string, token: string): Promise<string> {
  const answer = await call(`${keyService}/v1/keys`, {
    ...bearer(token),
    body: {
      name: "service-b's first key",
      consumer: 'service-b',
      grants: [{ service: 'service-a', scopes: ['reports:read', 'reports:write'] }],
    },
  });
  return issuedKey.parse(expectOneOf(answer, [201], "Creating service-b's key")).secret;
}

function expectOneOf(answer: Answer, statuses: number[], what: string): unknown {
  if (statuses.includes(answer.status)) return answer.body;
  throw new Error(`${what} was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
}
