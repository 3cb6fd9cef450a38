import { createHash } from 'node:crypto';
import type { ImportedKeys, ImportMode } from '#contracts';
import type { Replicas } from '../testing/replicas.js';

/** Another platform's key in tests: a public id and a secret. */
export const foreignText = (id: string): string => `old_${id}.${'s3cretS3cret'.repeat(2)}${id}`;

/** SHA-256 in hex, as many a platform keeps its keys. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What the scheme of salted hashes of {@link foreignText} is, but for its algorithm. */
export const SALTED = {
  locator: { kind: 'part', separator: '.', index: 0 },
  shape: { prefix: 'old_' },
} as const;

/** The least that an item needs. */
export function itemOf(text: string, hash = sha256(text)) {
  return {
    item: text.slice(0, 12),
    hash,
    consumer: 'service-b',
    scopes: ['reports:read'],
    expiresAt: null,
  };
}

/** A call to `POST /v1/imports` in tests. */
export interface ImportCall {
  service?: string;
  source?: string;
  mode?: ImportMode;
  scheme?: object;
  items: object[];
}

/** Imports keys for service-a, unless something else is said, in mode `dual`. */
export function importerOf({ call }: Pick<Replicas, 'call'>, admin: string) {
  return async (given: ImportCall): Promise<ImportedKeys> => {
    const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
    const body = { service: 'service-a', mode: 'dual', scheme, ...given };
    const answer = await call('post', '/v1/imports', admin).send(body);
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return answer.body as ImportedKeys;
  };
}
