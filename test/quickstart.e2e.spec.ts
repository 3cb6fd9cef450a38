import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { IssuedKey, User, Verdict } from '#contracts';
import { runStart, startCommand, type Command } from './support/command.js';
import { freePort } from './support/free-port.js';
import { PATIENCE_MS } from './support/patience.js';
import { freePorts, startPlatform, type TestPlatform } from './support/platform.js';
import { processTree, untilGone, type Process } from './support/processes.js';
import { sceneOf, type Scene } from './support/scene.js';
import { tempDir } from './support/temp-dir.js';

const dir = tempDir();
const home = join(dir.path, 'home');
let ports: Record<string, string>;
let running: TestPlatform[] = [];

/** Starts a platform on the one home of these tests, the same ports each time. */
async function start(): Promise<TestPlatform> {
  const platform = await startPlatform({ home, env: ports });
  running.push(platform);
  return platform;
}

beforeAll(async () => {
  ports = await freePorts();
});
afterAll(async () => {
  for (const platform of running) await platform.stop();
  running = [];
  dir.remove();
});

const usersOf = async (scene: Scene): Promise<User[]> => {
  const token = await scene.token();
  const { body } = await scene.tell('login', '/v1/users', { token });
  return (body as { data: User[] }).data;
};

/** What a stopped platform has left behind. */
const remains = async (tree: Process[]) => ({
  processes: await untilGone(tree),
  lock: existsSync(join(home, 'lock')),
  pidFiles: readdirSync(join(home, 'postgres')).filter((name) => name === 'postmaster.pid'),
});
const NOTHING = { processes: [], lock: false, pidFiles: [] };

describe('the first start', () => {
  let platform: TestPlatform;
  let scene: Scene;
  beforeAll(async () => {
    platform = await start();
    scene = sceneOf(platform);
  });

  it('makes one admin, and shows the password this once', async () => {
    const { admin } = platform.quickstart;
    expect(await usersOf(scene)).toEqual([
      expect.objectContaining({ username: admin.username, roles: ['admin'], services: null }),
    ]);
    expect(platform.output().split(admin.password)).toHaveLength(2);
    for (const secret of [
      ...Object.values(platform.quickstart.clients).map((one) => one.clientSecret),
      readFileSync(platform.at('service-b.key'), 'utf8').trim(),
    ]) {
      expect(platform.output()).not.toContain(secret);
    }
  });

  it('keeps what it writes to its owner', () => {
    const modes = ['.', 'env', 'quickstart.json', 'state.json', 'service-b.key', 'logs/login.log'];
    expect(
      modes.map((name) => [name, (statSync(platform.at(name)).mode & 0o777).toString(8)]),
    ).toEqual(modes.map((name) => [name, name === '.' ? '700' : '600']));
  });

  it('ends on SIGTERM with 0, and leaves no process and no lock', async () => {
    const tree = processTree(platform.pid);
    expect(namesIn(tree)).toEqual(expect.arrayContaining(EVERY_PART));
    expect(await platform.stop()).toEqual({ code: 0 });
    expect(await remains(tree)).toEqual(NOTHING);
  });
});

describe('the second start', () => {
  let platform: TestPlatform;
  let scene: Scene;
  beforeAll(async () => {
    platform = await start();
    scene = sceneOf(platform);
  });

  it('keeps the data, makes no admin, and tells no password', async () => {
    expect(platform.quickstart).toEqual(running[0]?.quickstart);
    expect(await usersOf(scene)).toHaveLength(1);
    expect(platform.output()).not.toContain(platform.quickstart.admin.password);
    const token = await scene.token();
    const keys = await scene.tell('keyService', '/v1/keys', { token });
    expect(keys.body).toMatchObject({ data: [{ name: "service-b's first key", version: 1 }] });
    expect(await scene.tell('serviceB', '/v1/summary', { token })).toMatchObject({ status: 200 });
  });

  it('has the home for itself: another start says so in one line', async () => {
    expect(await runStart(null, { KEYWARD_HOME: home, ...(await freePorts()) })).toEqual({
      code: 1,
      output: `Keyward already runs in ${home} (process ${platform.pid}); stop it first, or set KEYWARD_HOME to another folder\n`,
    });
    expect(await usersOf(scene)).toHaveLength(1);
  });

  it.each(['LOGIN_PORT', 'KEY_SERVICE_PORT', 'SERVICE_A_PORT', 'SERVICE_B_PORT'])(
    'where %s is taken, a start says so in one line and leaves nothing',
    async (variable) => {
      const squatter = createServer();
      await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve));
      const port = String((squatter.address() as AddressInfo).port);
      const other = join(dir.path, 'other');
      const env = { ...(await freePorts()), KEYWARD_HOME: join(other, 'home'), [variable]: port };
      expect(await runStart(null, env)).toEqual({
        code: 1,
        output: `Port ${port} on 127.0.0.1 is taken; set ${variable} to a free one\n`,
      });
      expect(existsSync(other)).toBe(false);
      squatter.close();
    },
  );

  describe('with a second replica of the key service beside it', () => {
    let replica: Command;
    let replicaUrl: string;
    let admin: string;
    let service: string;
    beforeAll(async () => {
      const port = await freePort();
      replicaUrl = `http://127.0.0.1:${port}`;
      const env = { KEYWARD_HOME: home, KEY_SERVICE_PORT: String(port) };
      replica = startCommand(['npm', 'run', '--silent', 'start:key-service'], env);
      await untilServes(replicaUrl, replica);
      admin = await scene.token();
      service = await scene.serviceToken('service-a');
    });

    it('a key that is revoked through one is dead on the other at once', async () => {
      const first = platform.quickstart.keyService;
      for (const [here, there] of [
        [first, replicaUrl],
        [replicaUrl, first],
      ] as const) {
        const { key, secret } = await issue(here);
        // Warm on both, from the cache as well.
        for (const url of [here, there, here, there])
          expect(await verify(url, secret)).toMatchObject({ valid: true, code: 'VALID' });
        const revoked = await post(`${here}/v1/keys/${key.id}/revoke`, admin, {
          reason: 'compromised',
        });
        expect(revoked).toMatchObject({
          status: 200,
          body: { propagation: { confirmed: true, boundSeconds: 0 } },
        });
        expect(await verify(there, secret)).toMatchObject({ valid: false, code: 'REVOKED' });
        expect(await verify(here, secret)).toMatchObject({ valid: false, code: 'REVOKED' });
      }
    });

    it('which says in one line when its port is taken', async () => {
      const { KEY_SERVICE_PORT = '' } = ports;
      const ended = await runStart('key-service', { KEYWARD_HOME: home, KEY_SERVICE_PORT });
      const { code, output } = ended;
      expect(code).toBe(1);
      const plain = output.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
      expect(plain).toEqual([
        `Port ${KEY_SERVICE_PORT} on 127.0.0.1 is taken; set KEY_SERVICE_PORT to a free one`,
      ]);
    });

    it('which ends on its own, and the platform goes on', async () => {
      const tree = processTree(replica.pid);
      process.kill(replica.pid, 'SIGTERM');
      await replica.ended;
      expect(await untilGone(tree)).toEqual([]);
      const { secret } = await issue(platform.quickstart.keyService);
      expect(await verify(platform.quickstart.keyService, secret)).toMatchObject({ valid: true });
    });

    const issue = async (url: string): Promise<IssuedKey> => {
      const grants = [{ service: 'service-a', scopes: ['reports:read'] }];
      const answer = await post(`${url}/v1/keys`, admin, {
        name: 'two replicas',
        consumer: 'service-b',
        grants,
      });
      expect(answer.status).toBe(201);
      return answer.body as IssuedKey;
    };
    const verify = async (url: string, key: string): Promise<Verdict> => {
      const { status, body } = await post(`${url}/v1/keys/verify`, service, { key });
      expect(status).toBe(200);
      return body as Verdict;
    };
  });

  it('ends on SIGINT with 0, and leaves no process and no lock', async () => {
    const tree = processTree(platform.pid);
    process.kill(platform.pid, 'SIGINT');
    expect(await platform.ended).toEqual({ code: 0 });
    expect(await remains(tree)).toEqual(NOTHING);
  });
});

describe('when something dies', () => {
  it('the start itself: nothing of it stays, and the next one takes the lock over', async () => {
    const killed = await start();
    const tree = processTree(killed.pid);
    process.kill(killed.pid, 'SIGKILL');
    await killed.ended;
    expect(await untilGone(tree)).toEqual([]);
    expect(existsSync(join(home, 'lock'))).toBe(true);
    expect(await usersOf(sceneOf(await start()))).toHaveLength(1);
  });

  it('an app: the start says which and how, ends the rest, and ends with 1', async () => {
    const platform = running.at(-1)!;
    const tree = processTree(platform.pid);
    const victim = tree.find((one) => /service-b\/src\/main\.js/.test(one.command));
    process.kill(victim!.pid, 'SIGKILL');
    expect(await platform.ended).toEqual({ code: 1 });
    expect(platform.output()).toMatch(
      /\nservice-b ended unexpectedly \(killed by SIGKILL\)\. The last it said:\n/,
    );
    expect(await remains(tree)).toEqual(NOTHING);
  });
});

const EVERY_PART = ['login', 'key-service', 'service-a', 'service-b', 'postgres', 'redis-server'];

function namesIn(tree: readonly Process[]): string[] {
  return tree.map(
    ({ command }) =>
      /apps\/([\w-]+)\/src\/main\.js/.exec(command)?.[1] ??
      /(postgres|redis-server)/.exec(command)?.[1] ??
      command,
  );
}

async function untilServes(url: string, { output }: Command): Promise<void> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until;) {
    const answer = await fetch(`${url}/health/ready`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`It does not serve:\n${output()}`);
}

async function post(url: string, token: string, body: object) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
