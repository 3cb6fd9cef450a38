import { JWT_BEARER, oauthToken } from '#contracts';
import { exchange, isNobodyThere } from './exchange.js';
import { reasonIn } from './faults.js';
import { checkTokenOptions, type ServiceTokenOptions } from './service-token-options.js';

/** A service's present token. Given one that was refused, it fetches another in its stead. */
export type ServiceToken = (refused?: string) => Promise<string>;

/** No token can be had at present: login is away or refuses the service account. */
export class TokenUnavailable extends Error {
  override name = 'TokenUnavailable';
}

interface Token {
  text: string;
  refreshAtMs: number;
  expiresAtMs: number;
}

const RETRY_MS = 1_000;
const REFRESH_AT = 0.8;

/**
 * A source of the service's token that asks login as seldom as it can: one request at a time, a new token when four
 * fifths of the old one's life are over. While login is away the old one is used to its end.
 *
 * @throws Error at once, naming each option that is missing, wrong or unknown
 * @throws TokenUnavailable (from the source) when there is no live token. A login that answered with a refusal, or was slow to
 *   answer, is asked again after a second at the earliest; where nobody listened, as while login starts, at once
 */
export function createServiceToken(options: ServiceTokenOptions): ServiceToken {
  checkTokenOptions(options);
  const nowMs = options.nowMs ?? (() => performance.now());
  let token: Token | null = null;
  let flight: Promise<Token> | null = null;
  let failure: { error: TokenUnavailable; untilMs: number } | null = null;
  let fetchedAtMs = -Infinity;

  const renew = (): Promise<Token> => {
    if (failure !== null && nowMs() < failure.untilMs) return Promise.reject(failure.error);
    fetchedAtMs = nowMs();
    flight ??= fetchToken(options, nowMs)
      .then((fresh) => {
        failure = null;
        return (token = fresh);
      })
      .catch((error: TokenUnavailable) => {
        if (!isNobodyThere(error.cause)) failure = { error, untilMs: nowMs() + RETRY_MS };
        throw error;
      })
      .finally(() => (flight = null));
    return flight;
  };

  return async (refused) => {
    const mayReplace = nowMs() - fetchedAtMs >= RETRY_MS;
    if (token !== null && token.text === refused && mayReplace) return (await renew()).text;
    if (token === null || nowMs() >= token.expiresAtMs) return (await renew()).text;
    // The one at hand is good, so nobody waits; a failure shows when it has run out.
    if (nowMs() >= token.refreshAtMs) renew().catch(() => undefined);
    return token.text;
  };
}

async function fetchToken(options: ServiceTokenOptions, nowMs: () => number): Promise<Token> {
  const { tokenUrl, clientId, audience, scope, timeoutMs = 3_000, ca } = options;
  const askedAtMs = nowMs();
  const { headers, form } = credentialsOf(options);
  const answer = await exchange({
    url: new URL(tokenUrl),
    headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      audience,
      scope,
      ...form,
    }).toString(),
    timeoutMs,
    ca,
  }).catch((cause: unknown) => {
    throw new TokenUnavailable('login does not answer a token request', { cause });
  });
  const parsed = oauthToken.safeParse(answer.body);
  if (answer.status !== 200 || !parsed.success)
    throw new TokenUnavailable(
      `login answered a token request of ${clientId} ${answer.status}${reasonIn(answer.body)}`,
    );
  const lifeMs = parsed.data.expires_in * 1_000;
  return {
    text: parsed.data.access_token,
    refreshAtMs: askedAtMs + lifeMs * REFRESH_AT,
    expiresAtMs: askedAtMs + lifeMs,
  };
}

/** How the service says who it is: `client_secret_basic` or `private_key_jwt`. */
function credentialsOf({ clientId, clientSecret = '', clientAssertion }: ServiceTokenOptions): {
  headers: Record<string, string>;
  form: Record<string, string>;
} {
  if (clientAssertion !== undefined) {
    const form = { client_assertion_type: JWT_BEARER, client_assertion: clientAssertion() };
    return { headers: {}, form };
  }
  const basic = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`;
  return { headers: { authorization: `Basic ${Buffer.from(basic).toString('base64')}` }, form: {} };
}
