import { randomBytes } from 'node:crypto';
import { chownSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { Client } from 'pg';
import { asRole } from '#postgres';
import { startEmbeddedPostgres } from '../../tools/quickstart/embedded-postgres.js';
import type { Part } from '../../tools/quickstart/part.js';
import { freePort } from '../../tools/quickstart/ports.js';
import { query } from './postgres.js';
import { tempDir } from './temp-dir.js';

/** Name of one of the two servers. */
export type Side = 'first' | 'second';

/** Two PostgreSQL servers, the one a streaming standby of the other; `first` is the primary to begin with. */
export interface PostgresPair {
  /** Connection string of the owner that names both servers. */
  url: string;
  urlFor: (role: string, password: string) => string;
  /** Rows of a query as the owner on one of them. */
  on: <T extends object>(side: Side, sql: string, values?: unknown[]) => Promise<T[]>;
  /** Ends a server at once, as a crash does. */
  kill: (side: Side) => Promise<void>;
  /** Makes the standby a primary. */
  promote: (side: Side) => Promise<void>;
  /** The server goes on, with the connections it has, and takes no writes any more. */
  demote: (side: Side) => Promise<void>;
  /** Starts a server that is down with the data that it has. */
  start: (side: Side) => Promise<void>;
  /** Starts a server that is down as a standby of the other, with a fresh copy of its data. */
  follow: (side: Side) => Promise<void>;
  /** Waits until a standby has everything that its primary has. */
  caughtUp: (standby: Side) => Promise<void>;
  remove: () => Promise<void>;
}

const other = (side: Side): Side => (side === 'first' ? 'second' : 'first');

/**
 * Starts the two. A commit on `first` is confirmed when `second` has it too, so that a failover loses nothing that was
 * confirmed; whoever is promoted waits for nobody.
 */
export async function startPostgresPair(): Promise<PostgresPair> {
  const dir = tempDir();
  const password = randomBytes(12).toString('hex');
  const ports = { first: await freePort(), second: await freePort() };
  const running = new Map<Side, Part>();
  const dataOf = (side: Side): string => join(dir.path, side);
  const urlOn = (side: Side): string =>
    `postgresql://keyward_owner:${password}@127.0.0.1:${ports[side]}/keyward`;
  const start = async (side: Side, settings: Record<string, string> = {}): Promise<void> => {
    const all = {
      fsync: 'off',
      primary_conninfo: standbyOf(ports[other(side)], password),
      ...settings,
    };
    const server = await startEmbeddedPostgres({
      dataDir: dataOf(side),
      port: ports[side],
      password,
      logFile: join(dir.path, `${side}.log`),
      flags: Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    });
    running.set(side, server);
  };
  const stop = async (side: Side): Promise<void> => {
    await running.get(side)?.stop();
    running.delete(side);
  };
  const on: PostgresPair['on'] = (side, sql, values) => query(urlOn(side), sql, values);
  const isCaughtUp = async (standby: Side): Promise<boolean> => {
    const [at] = await on<{ lsn: string }>(other(standby), 'SELECT pg_current_wal_lsn() AS lsn');
    const [is] = await on<{ done: boolean }>(
      standby,
      'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done',
      [at!.lsn],
    );
    return is!.done;
  };

  // a server that was stopped in order is as good as a backup of it
  await start('first');
  await stop('first');
  copyData(dataOf('first'), dataOf('second'));
  writeInto(dataOf('second'), 'standby.signal');
  await start('first', { synchronous_standby_names: '*' });
  await start('second');
  const url = `postgresql://keyward_owner:${password}@127.0.0.1:${ports.first},127.0.0.1:${ports.second}/keyward?target_session_attrs=read-write`;
  return {
    url,
    urlFor: (role, own) => asRole(url, role, own),
    on,
    kill: async (side) => {
      const server = running.get(side);
      if (server !== undefined) process.kill(server.pid, 'SIGQUIT');
      await server?.exited;
      running.delete(side);
    },
    promote: async (side) => void (await on(side, 'SELECT pg_promote()')),
    demote: async (side) => {
      await on(side, 'ALTER SYSTEM SET default_transaction_read_only = on');
      await on(side, 'SELECT pg_reload_conf()');
    },
    start: (side) => start(side),
    follow: async (side) => {
      rmSync(dataOf(side), { recursive: true, force: true });
      await backUp(urlOn(other(side)), dataOf(other(side)), dataOf(side));
      writeInto(dataOf(side), 'standby.signal');
      await start(side);
    },
    caughtUp: async (standby) => {
      while (!(await isCaughtUp(standby))) await new Promise((resolve) => setTimeout(resolve, 20));
    },
    remove: async () => {
      await Promise.all([stop('first'), stop('second')]);
      dir.remove();
    },
  };
}

function standbyOf(port: number, password: string): string {
  return `host=127.0.0.1 port=${port} user=keyward_owner password=${password}`;
}

/** Copies the data of a server that runs, by PostgreSQL's own steps for that. */
async function backUp(url: string, from: string, to: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("SELECT pg_backup_start('copy', true)");
    copyData(from, to);
    const { rows } = await client.query<{ labelfile: string }>(
      'SELECT * FROM pg_backup_stop(false)',
    );
    writeInto(to, 'backup_label', rows[0]!.labelfile);
  } finally {
    await client.end();
  }
}

/** With owners and rights. What a running server is about to remove may be gone before it is copied. */
function copyData(from: string, to: string): void {
  spawnSync('cp', ['-a', from, to]);
  for (const name of ['postmaster.pid', 'postmaster.opts', 'standby.signal'])
    rmSync(join(to, name), { force: true });
}

/** A file of the user that the server runs as. */
function writeInto(dir: string, name: string, text = ''): void {
  const { uid, gid } = statSync(dir);
  writeFileSync(join(dir, name), text);
  chownSync(join(dir, name), uid, gid);
}
