import { DataSource } from 'typeorm';
import { migrate } from '../../../../migrations/migrate.js';
import { startPostgres as startServer } from '../../../../test/support/postgres.js';

/** A PostgreSQL of a test with all schemas, reached as its owner and as the role that the service runs as. */
export interface TestPostgres {
  owner: DataSource;
  ownerUrl: string;
  runtimeUrl: string;
  /** Runs `work` while the server is stopped. */
  whileAway: (work: () => Promise<void>) => Promise<void>;
  stop: () => Promise<void>;
}

/** Starts a PostgreSQL and brings it up to date as an operator would. */
export async function startPostgres(): Promise<TestPostgres> {
  const server = await startServer();
  const runtimeUrl = server.urlFor('key_service', 'only-for-this-test');
  await migrate({ ownerUrl: server.url, keyServiceUrl: runtimeUrl });
  const owner = await new DataSource({ type: 'postgres', url: server.url }).initialize();
  return {
    owner,
    ownerUrl: server.url,
    runtimeUrl,
    whileAway: async (work) => {
      await server.stop();
      try {
        await work();
      } finally {
        await server.start();
      }
    },
    stop: async () => {
      await owner.destroy();
      await server.remove();
    },
  };
}
