import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { ImportMode, IssuedKey, RotatedKey } from '#contracts';
import { startReplicas, type Replicas } from '../../../apps/key-service/src/testing/replicas.js';
import { seed, type Seed } from '../../../apps/key-service/src/testing/seed.js';
import { createServiceA } from '../../../apps/service-a/src/testing/service-a.js';
import { migrate } from '../../../migrations/migrate.js';
import { moveImports, moveTo } from '../../../tools/local-keys/move.js';
import { handOverTo, takeOverFrom, type OwnStore } from '../../../tools/local-keys/moves.js';
import { startPostgres, type TestPostgres } from '../../support/postgres.js';
import { startProxy, type Proxy } from '../../support/proxy.js';
import { createStubServer, sendJson } from '../../support/stub-server.js';

/** A key service, service-a with a store of its own, and what is between them. */
export interface MovingWorld {
  replicas: Replicas;
  seeded: Seed;
  /** service-a's own database. */
  own: TestPostgres;
  /** The way from service-a to the key service. */
  link: Proxy;
  /** Starts service-a in a mode. */
  start: (mode: 'local' | 'dual', env?: Record<string, string>) => Promise<MovingService>;
  handOver: () => ReturnType<typeof handOverTo>;
  /** Moves as an operator does, with `npm run local-keys -- move`. */
  moveByTool: (mode: ImportMode) => ReturnType<typeof moveTo>;
  takeOver: (mayLoseQuotas?: boolean) => ReturnType<typeof takeOverFrom>;
  /** Moves service-a by one call, and hands nothing over before. */
  move: (mode: ImportMode) => ReturnType<typeof moveImports>;
  /** A change at the key service that must succeed. */
  manage: (path: string, body?: object) => Promise<void>;
  /** The verdict of the key service alone. */
  centralCode: (key: string) => Promise<string>;
  stop: () => Promise<void>;
}

/** A running service-a. */
export interface MovingService {
  url: string;
  issue: (over?: object) => Promise<IssuedKey>;
  rotate: (id: string, overlapSeconds?: number) => Promise<RotatedKey>;
  /** Calls a route of an admin: the status, and the body. */
  post: (path: string, body: object, headers?: object) => Promise<{ status: number; body: object }>;
  /** What a request with a key is answered: the status, and the code where it is refused. */
  codeOf: (key: string) => Promise<string>;
  stop: () => Promise<void>;
}

/** Starts all but service-a. */
export async function startMovingWorld(): Promise<MovingWorld> {
  const [replicas, own] = await Promise.all([startReplicas(1), startPostgres()]);
  const seeded = await seed(replicas);
  const databaseUrl = own.urlFor('service_a_app', 'only-for-this-test');
  await migrate({ ownerUrl: own.url, serviceAUrl: databaseUrl });
  const store: OwnStore = { databaseUrl, secret: randomBytes(32) };
  const url = urlOf(replicas.app);
  const link = await startProxy(url);
  const login = await startLogin(replicas);
  const env = {
    ...{ LOG_LEVEL: 'silent', LOGIN_URL: login.url, TOKEN_ISSUER: replicas.issuer.url },
    ...{ KEY_SERVICE_URL: link.through(url), SERVICE_A_DATABASE_URL: databaseUrl },
    ...{ SERVICE_A_CLIENT_ID: 'service-a', SERVICE_A_CLIENT_SECRET: 'kws_of-service-a' },
    SERVICE_A_KEY_SECRET: store.secret.toString('base64'),
  };
  const central = { url, token: seeded.admin };
  const running: MovingService[] = [];
  return {
    ...{ replicas, seeded, own, link },
    start: async (mode, more) => {
      const app = await createServiceA({ ...env, SERVICE_A_KEYS: mode, ...more });
      await app.listen(0, '127.0.0.1');
      const service = serviceOf(app, seeded.admin);
      running.push(service);
      return service;
    },
    handOver: () => handOverTo(central, store),
    moveByTool: (mode) => moveTo(central, store, mode),
    takeOver: (mayLoseQuotas) => takeOverFrom(central, store, mayLoseQuotas),
    move: (mode) => moveImports(central, mode),
    manage: async (path, body = {}) => {
      const answer = await replicas.call('post', path, seeded.admin).send(body);
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    },
    centralCode: async (key) => (await replicas.ask(0, { key })).body.code,
    stop: async () => {
      await Promise.all(running.map((one) => one.stop()));
      await Promise.all([link.close(), login.close()]);
      await Promise.all([replicas.stop(), own.remove()]);
    },
  };
}

/** Asks until the answer is the expected one, which the test's time bounds. */
export async function until(expected: string, ask: () => Promise<string>): Promise<void> {
  while ((await ask()) !== expected) await new Promise((go) => setTimeout(go, 50));
}

/** Gives service-a its token, and the keys that tokens are checked with. */
async function startLogin({ issuer }: Replicas) {
  return createStubServer({
    'GET /.well-known/jwks.json': (_seen, response) => {
      void fetch(issuer.jwksUrl)
        .then((answer) => answer.json())
        .then((keys) => sendJson(response, 200, keys));
    },
    'POST /oauth2/token': (_seen, response) => {
      const scope = 'keys:verify keys:provision';
      void issuer.service('service-a', scope).then((token) =>
        sendJson(response, 200, {
          ...{ access_token: token, token_type: 'Bearer', expires_in: 600, scope },
        }),
      );
    },
  });
}

function serviceOf(app: NestFastifyApplication, admin: string): MovingService {
  const url = urlOf(app);
  const post: MovingService['post'] = async (path, body, headers = {}) => {
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: {
        ...{ authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
        ...headers,
      },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as object };
  };
  const done = async <T>(status: number, path: string, body: object): Promise<T> => {
    const answer = await post(path, body);
    if (answer.status !== status) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer.body as T;
  };
  return {
    ...{ url, post },
    issue: (over = {}) => {
      const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
      return done(201, '/v1/api-keys', { ...body, expiresInSeconds: 6_000, ...over });
    },
    rotate: (id, overlapSeconds = 600) =>
      done(200, `/v1/api-keys/${id}/rotate`, { overlapSeconds }),
    codeOf: async (key) => {
      const answer = await fetch(`${url}/v1/reports`, { headers: { 'x-api-key': key } });
      const body = (await answer.json()) as { code?: string };
      return [answer.status, body.code].filter((one) => one !== undefined).join(' ');
    },
    stop: () => app.close(),
  };
}

function urlOf(app: NestFastifyApplication): string {
  return `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}
