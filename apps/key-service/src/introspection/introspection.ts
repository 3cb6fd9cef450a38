import type { Introspection } from '#contracts';
import type { OpenedKey } from '../verify/verifier.js';

/**
 * A key as a token. One that may be used from some addresses only is never active: who introspects names no address.
 *
 * @param opened null for every key that the service may not accept
 */
export function introspectionOf(opened: OpenedKey | null, service: string): Introspection {
  if (opened === null) return { active: false };
  const { record, secret, decision } = opened;
  const endsMs = Math.min(record.expiresAtMs ?? Infinity, secret.validUntilMs ?? Infinity);
  return {
    active: true,
    scope: (decision.scopes ?? []).join(' '),
    client_id: record.consumer,
    sub: record.keyId,
    aud: service,
    token_type: 'api_key',
    iat: secondsOf(secret.issuedAtMs),
    ...(record.notBeforeMs !== null && { nbf: secondsOf(record.notBeforeMs) }),
    ...(endsMs !== Infinity && { exp: secondsOf(endsMs) }),
  };
}

function secondsOf(ms: number): number {
  return Math.floor(ms / 1_000);
}
