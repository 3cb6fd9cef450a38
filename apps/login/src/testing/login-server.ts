import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseConfig } from '#server';
import { migrate } from '../../../../migrations/migrate.js';
import { freePort } from '../../../../test/support/free-port.js';
import { startPostgres, type TestPostgres } from '../../../../test/support/postgres.js';
import { bootstrap, bootstrapEnv } from '../bootstrap.js';

export const ADMIN = { username: 'admin', password: 'tall ships on a quiet sea' };
export const CLIENT = { clientId: 'service-a', clientSecret: `kws_${'s'.repeat(43)}` };

export const ISSUER = 'http://login.test';

/** An answer as a test compares it. */
export interface Answer {
  status: number;
  headers: Headers;
  body: unknown;
  text: string;
}

/** A login over HTTP, in a process of its own. */
export interface LoginServer {
  url: string;
  /** Lines of its log so far. */
  log: () => string;
  /** Sends JSON, or a form where `body` is URLSearchParams. */
  call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
  close: () => Promise<void>;
}

export interface CallOptions {
  body?: unknown;
  token?: string;
  headers?: Record<string, string>;
}

/** A PostgreSQL with the schemas, and logins on it with their first admin and service-a's account. */
export interface LoginLab {
  postgres: TestPostgres;
  /** The runtime role's connection string. */
  url: string;
  variables: Record<string, string>;
  start: (env?: Record<string, string>) => Promise<LoginServer>;
  close: () => Promise<void>;
}

/** Starts a PostgreSQL, migrates and bootstraps. */
export async function createLoginLab(): Promise<LoginLab> {
  const postgres = await startPostgres();
  const url = postgres.urlFor('login_app', randomBytes(12).toString('hex'));
  await migrate({ ownerUrl: postgres.url, loginUrl: url });
  const variables = variablesFor(url);
  await bootstrap(parseConfig(bootstrapEnv, { ...variables, ...FIRST }));
  const servers: LoginServer[] = [];
  return {
    postgres,
    url,
    variables,
    start: async (env = {}) => {
      const server = await startLogin({ ...variables, ...env });
      servers.push(server);
      return server;
    },
    close: async () => {
      await Promise.all(servers.map((one) => one.close()));
      await postgres.remove();
    },
  };
}

const FIRST = {
  ADMIN_PASSWORD: ADMIN.password,
  BOOTSTRAP_CLIENTS: JSON.stringify([
    {
      clientId: CLIENT.clientId,
      secret: CLIENT.clientSecret,
      scopes: ['keys:verify', 'keys:provision'],
      audiences: ['key-service', 'service-b'],
    },
  ]),
};

function variablesFor(url: string): Record<string, string> {
  return {
    NODE_ENV: 'test',
    KEYWARD_HOME: '/nonexistent',
    LOG_LEVEL: 'debug',
    TOKEN_ISSUER: ISSUER,
    LOGIN_DATABASE_URL: url,
    LOGIN_SECRET: randomBytes(32).toString('base64'),
    LOGIN_RATE_PER_MINUTE: '10000',
  };
}

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));

/** @throws Error with what it printed where it ends instead of serving */
async function startLogin(variables: Record<string, string>): Promise<LoginServer> {
  const port = await freePort();
  const child = fork(MAIN, [], {
    env: { PATH: process.env['PATH'], ...variables, LOGIN_PORT: String(port) },
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => output.push(text));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('close', () => reject(new Error(`It did not start:\n${output.join('')}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    log: () => output.join(''),
    call: (method, path, options) => call(method, `http://127.0.0.1:${port}${path}`, options),
    close: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function call(
  method: string,
  url: string,
  { body, token, headers = {} }: CallOptions = {},
): Promise<Answer> {
  const isJson = body !== undefined && !(body instanceof URLSearchParams);
  const response = await fetch(url, {
    method,
    headers: {
      ...(isJson && { 'content-type': 'application/json' }),
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body !== undefined && { body: isJson ? JSON.stringify(body) : body }),
  });
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  const parsed: unknown = type.includes('json') ? JSON.parse(text) : null;
  return { status: response.status, headers: response.headers, body: parsed, text };
}
