import { decodeJwt } from 'jose';
import { JWT_BEARER, type OAuthTokenForm } from '#contracts';
import { invalidClient, OAuthRefusal } from './oauth-refusal.js';

/** What a client says it is. */
export type ClientCredentials =
  { clientId: string; secret: string } | { clientId: string; assertion: string };

/**
 * Credentials of a client: `client_secret_basic` or `client_secret_post` (RFC 6749, section 2.3.1), or
 * `private_key_jwt` (RFC 7523, section 2.2); never two of them.
 *
 * @throws OAuthRefusal invalid_request or invalid_client
 */
export function clientCredentials(
  authorization: string | undefined,
  form: OAuthTokenForm,
): ClientCredentials {
  const { client_id: clientId, client_secret: secret } = form;
  if (form.client_assertion !== undefined || form.client_assertion_type !== undefined)
    return fromAssertion(authorization, form);
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

/** Whom the assertion speaks of; not yet believed. */
function fromAssertion(authorization: string | undefined, form: OAuthTokenForm): ClientCredentials {
  if (authorization !== undefined || form.client_secret !== undefined)
    throw new OAuthRefusal('invalid_request', 'Send one kind of credentials, not two');
  const { client_assertion: assertion, client_assertion_type: type, client_id: named } = form;
  if (assertion === undefined || type !== JWT_BEARER)
    throw new OAuthRefusal('invalid_request', `Use client_assertion_type=${JWT_BEARER}`);
  const clientId = subjectOf(assertion);
  if (clientId === undefined || (named !== undefined && named !== clientId)) throw invalidClient();
  return { clientId, assertion };
}

function subjectOf(assertion: string): string | undefined {
  try {
    const { sub } = decodeJwt(assertion);
    return typeof sub === 'string' && sub.length <= 128 ? sub : undefined;
  } catch {
    return undefined;
  }
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
