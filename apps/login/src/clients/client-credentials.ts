import type { OAuthTokenForm } from '#contracts';
import { invalidClient, OAuthRefusal } from './oauth-refusal.js';

/** What a client says it is. */
export interface ClientCredentials {
  clientId: string;
  secret: string;
}

/**
 * Credentials of a client: `client_secret_basic` or `client_secret_post` (RFC 6749, section 2.3.1), never both.
 *
 * @throws OAuthRefusal invalid_request or invalid_client
 */
export function clientCredentials(
  authorization: string | undefined,
  form: OAuthTokenForm,
): ClientCredentials {
  const { client_id: clientId, client_secret: secret } = form;
  if (authorization === undefined) {
    if (clientId === undefined || secret === undefined) throw invalidClient();
    return { clientId, secret };
  }
  if (secret !== undefined)
    throw new OAuthRefusal(
      'invalid_request',
      'Send the secret in the header or the form, not both',
    );
  const basic = fromBasic(authorization);
  if (clientId !== undefined && clientId !== basic.clientId)
    throw new OAuthRefusal('invalid_request', 'The header and the form name different clients');
  return basic;
}

const BASIC = /^basic +([A-Za-z0-9+/]{1,1024}={0,2})$/i;

function fromBasic(authorization: string): ClientCredentials {
  const encoded = BASIC.exec(authorization)?.[1];
  if (encoded === undefined) throw invalidClient();
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0 || /\0|%00/.test(text)) throw invalidClient();
  return {
    clientId: formDecoded(text.slice(0, colon)),
    secret: formDecoded(text.slice(colon + 1)),
  };
}

/** Both parts are form-encoded before they are joined (RFC 6749, appendix B). */
function formDecoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw invalidClient();
  }
}
