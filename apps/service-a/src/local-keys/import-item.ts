const iso = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** SQL for what the key service imports of the key `k` with its current secret `s`. */
export const ITEM = `(json_strip_nulls(json_build_object('item', k.id, 'id', k.id, 'name', k.name, 'consumer', k.consumer,
      'environment', k.environment, 'hash', rtrim(translate(encode(s.digest, 'base64'), '+/', '-_'), '='),
      'scopes', k.scopes, 'notBefore', ${iso('k.not_before')}, 'rateLimits', k.rate_limits,
      'ipAllowlist', k.ip_allowlist, 'tags', k.tags, 'metadata', k.metadata, 'enabled', k.state = 'active',
      'entropyBits', 256, 'hint', json_build_object('prefix', s.prefix, 'last4', s.last4)))::jsonb
      || jsonb_build_object('expiresAt', ${iso('k.expires_at')}))`;
