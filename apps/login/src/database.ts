import { DataSource } from 'typeorm';
import type { Logger } from 'pino';
import { writable } from '#postgres';
import { ClientEntity } from './clients/client.entity.js';
import { SigningKeyEntity } from './tokens/signing-key.entity.js';
import { UserEntity } from './users/user.entity.js';

const READY_WITHIN_MS = 1_000;

/** Login's connections: at most 10; 2 s to get one, 5 s a statement, then the caller is answered 503. */
export function createDataSource(url: string, log: Logger): DataSource {
  const { connectionString, Client } = writable(url);
  return new DataSource({
    type: 'postgres',
    url: connectionString,
    entities: [ClientEntity, SigningKeyEntity, UserEntity],
    applicationName: 'keyward login',
    installExtensions: false,
    poolErrorHandler: (error: unknown) => log.debug({ err: error }, 'a database connection ended'),
    extra: {
      Client,
      max: 10,
      connectionTimeoutMillis: 2_000,
      statement_timeout: 5_000,
      query_timeout: 6_000,
      keepAlive: true,
    },
  });
}

/** Whether the database answers within 1 s. */
export async function isDatabaseReady(db: DataSource): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, READY_WITHIN_MS, false);
  });
  const answer = db.query('SELECT 1').then(() => true);
  try {
    return await Promise.race([answer.catch(() => false), late]);
  } finally {
    clearTimeout(timer);
  }
}
