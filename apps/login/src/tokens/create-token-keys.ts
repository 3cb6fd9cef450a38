import type { DataSource } from 'typeorm';
import type { TokenEnv } from '#server';
import { SharedSecret } from './shared-secret.js';
import { SigningKeys } from './signing-keys.js';
import type { TokenKeys } from './token-keys.js';

/** The keys of the family that the settings name; not started. */
export function createTokenKeys(env: TokenEnv, db: DataSource, sealingKey: Buffer): TokenKeys {
  const { JWT_ALGORITHM: algorithm, JWT_SECRET: secret } = env;
  if (algorithm === 'HS256') return new SharedSecret(secret!);
  return new SigningKeys(db, { algorithm, sealingKey });
}
