import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IssuedClient, IssuedKey, UsageReport } from '#contracts';
import { call, type Call } from '../tools/quickstart/http.js';
import { until } from './coherence/support/world.js';
import { createOutsideProject, exampleOf, type OutsideProject } from './support/outside-project.js';
import { ROOT } from './support/platform.js';
import { closeRaw, sendRaw } from './support/raw-http.js';
import { startScene, type Scene } from './support/scene.js';
import { tempDir } from './support/temp-dir.js';

const PASSWORD = 'seven green bottles on a wall';
const PROJECTS = [
  { nest: '12', type: 'module', typescript: '6.0' },
  { nest: '11', type: 'commonjs', typescript: '5.9' },
] as const;
const OPTIONS = [
  ...['--target', 'es2023', '--types', 'node', '--strict'],
  ...['--module', 'nodenext', '--experimentalDecorators', '--emitDecoratorMetadata'],
];

const folder = tempDir();
/** The empty projects of `PROJECTS`, in its order. */
let projects: OutsideProject[];
let scene: Scene;
let admin: string;
let clientSecret: string;
/** The key that the README of key-guard issues for its example. */
let exampleKey: string;
const readmeOf = (name: string) => join(ROOT, 'libs', name, 'README.md');

beforeAll(async () => {
  const packed = spawnSync(process.execPath, [join(ROOT, 'tools', 'pack.mjs'), folder.path], {
    env: { ...process.env, KEYWARD_SKIP_SETUP: '1' },
    encoding: 'utf8',
  });
  if (packed.status !== 0) throw new Error(`npm run pack ended badly:\n${packed.stderr}`);
  // Installing waits for other machines and disks, so all of it goes at once.
  [scene, ...projects] = await Promise.all([
    startScene({ env: { TOKEN_AUDIENCES: 'warehouse' } }),
    ...PROJECTS.map(installed),
  ]);
  admin = await scene.token();
  const told: object[] = [];
  for (const { port, path, body } of callsIn(readmeOf('key-guard')))
    told.push(await made(port === '4001' ? 'login' : 'keyService', path, body));
  const { clientSecret: its, secret } = Object.assign({}, ...told) as IssuedClient & IssuedKey;
  [clientSecret, exampleKey] = [its, secret];
}, 300_000);
afterAll(async () => {
  closeRaw();
  await Promise.all((projects ?? []).map((project) => project.stop()));
  await scene?.platform.remove();
  folder.remove();
});

/** An empty project with our tarballs and the NestJS that it has. */
function installed({ nest, type, typescript }: (typeof PROJECTS)[number]): Promise<OutsideProject> {
  const tarballs = readdirSync(folder.path).filter((file) => file.endsWith('.tgz'));
  return createOutsideProject(join(folder.path, `nest-${nest}`), type, [
    ...tarballs.map((file) => join(folder.path, file)),
    ...['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@${nest}`),
    ...['reflect-metadata', 'rxjs', `typescript@${typescript}`, '@types/node@20'],
  ]);
}

/** The calls of an admin that a README shows, in their order. */
function callsIn(readme: string): { port: string; path: string; body: object }[] {
  const calls = readFileSync(readme, 'utf8').matchAll(
    /curl -s localhost:(\d+)(\S+) -H "authorization[^\n]*\n {2}-d '([^']+)'/g,
  );
  return [...calls].map(([, port, path, body]) => ({
    ...{ port: port!, path: path! },
    body: JSON.parse(body!) as object,
  }));
}

/** Something new that an admin has made. */
async function made<T>(service: 'login' | 'keyService', path: string, body: object): Promise<T> {
  const answer = await scene.tell(service, path, { token: admin, body });
  expect({ path, answer }).toMatchObject({ answer: { status: 201 } });
  return answer.body as T;
}

/** A new key of service-b for a service. */
const newKey = (service: string, scopes: string[]) =>
  made<IssuedKey>('keyService', '/v1/keys', {
    name: 'outside',
    consumer: 'service-b',
    grants: [{ service, scopes }],
  });

/** Where the platform is, as the examples want to know it. */
const places = () => ({
  LOGIN_URL: scene.platform.quickstart.login,
  KEY_SERVICE_URL: scene.platform.quickstart.keyService,
  SERVICE_A_URL: scene.platform.quickstart.serviceA,
  CLIENT_SECRET: clientSecret,
  AUDIENCE: 'warehouse',
});

/** Status of an answer, and its code where it is a problem. */
async function told(url: string, headers: Call['headers'] = {}): Promise<unknown[]> {
  const { status, body } = await call(url, { headers });
  return [status, (body as { code?: string } | null)?.code];
}

/** The same of a request with a header twice. */
async function toldTwice(url: string, name: string, value: string): Promise<unknown[]> {
  const headers = [
    [name, value],
    [name, value],
  ] as const;
  const { pathname } = new URL(url);
  const { status, text } = await sendRaw(url, { method: 'GET', path: pathname, headers });
  return [status, (JSON.parse(text) as { code?: string }).code];
}

/** How often a key was found good. */
async function validUsesOf(keyId: string): Promise<number> {
  const path = `/v1/usage?keyId=${keyId}&granularity=day`;
  const { data } = (await scene.tell('keyService', path, { token: admin })).body as UsageReport;
  return data.reduce((sum, { counts }) => sum + (counts.VALID ?? 0), 0);
}

test('a package names every import, and holds no test and no map', () => {
  for (const name of ['key-guard', 'jwt-guard', 'key-client']) {
    const files = readdirSync(join(folder.path, name), { recursive: true, encoding: 'utf8' });
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    expect(files.filter((file) => /\.spec\.|\btesting\b|\.map$/.test(file))).toEqual([]);
  }
});

describe.each(PROJECTS.map((project, number) => ({ ...project, number })))(
  'an empty project on NestJS $nest ($type)',
  ({ nest, type, number }) => {
    let project: OutsideProject;

    beforeAll(async () => {
      project = projects[number]!;
      project.write('jwt-guard.ts', exampleOf(readmeOf('jwt-guard')));
      project.write('key-guard.ts', exampleOf(readmeOf('key-guard')));
      project.write('core.ts', exampleOf(readmeOf('key-guard'), 2));
      const commonJs = type === 'commonjs' ? ['--verbatimModuleSyntax', 'false'] : [];
      await project.tsc('--init', ...OPTIONS, ...commonJs);
    });

    test('compiles the first example of each README, our declarations looked at as well', async () => {
      const errors = await project.tsc('-p', '.', '--skipLibCheck', 'false');
      // What Nest's own declarations lack in an app without its optional parts is not ours.
      const others = /^(?:\.\.\/)*node_modules\/(?!@keyward\/)/;
      expect(errors.filter((line) => !others.test(line))).toEqual([]);
    });

    test('lets in people by their tokens, as the example of jwt-guard says', async () => {
      const url = await project.serve('jwt-guard.js', places());
      const username = `user-${nest}`;
      await made('login', '/v1/users', { username, password: PASSWORD });
      const user = {
        authorization: `Bearer ${await scene.token({ username, password: PASSWORD })}`,
      };
      expect(await told(`${url}/health`)).toEqual([200, undefined]);
      expect(await told(`${url}/me`)).toEqual([401, 'UNAUTHENTICATED']);
      expect(await told(`${url}/me`, { authorization: 'Bearer x.y.z' })).toEqual([
        401,
        'INVALID_TOKEN',
      ]);
      const { body } = await call(`${url}/me`, { headers: user });
      expect(body).toMatchObject({ name: username, roles: ['user'] });
      expect(await told(`${url}/orders`, user)).toEqual([403, 'FORBIDDEN']);
      expect(await told(`${url}/orders`, { authorization: `Bearer ${admin}` })).toEqual([
        200,
        undefined,
      ]);
      expect(await toldTwice(`${url}/me`, 'authorization', user.authorization)).toEqual([
        400,
        'INVALID_HEADER',
      ]);
    });

    test('lets in services by their keys, as the example of key-guard says', async () => {
      const url = await project.serve('key-guard.js', places());
      const { key, secret } = await newKey('warehouse', ['stock:read']);
      const foreign = await newKey('service-a', ['reports:read']);
      const shown = await call(`${url}/stock`, { headers: { 'x-api-key': exampleKey } });
      expect([shown.status, shown.body]).toMatchObject([200, { readBy: 'stocktaking' }]);
      expect(await told(`${url}/stock`)).toEqual([401, 'API_KEY_MISSING']);
      expect(await told(`${url}/stock`, { 'x-api-key': foreign.secret })).toEqual([
        403,
        'API_KEY_INVALID',
      ]);
      const { status, body } = await call(`${url}/stock`, { headers: { 'x-api-key': secret } });
      expect([status, body]).toMatchObject([200, { readBy: 'service-b' }]);
      expect(await toldTwice(`${url}/stock`, 'x-api-key', secret)).toEqual([400, 'INVALID_HEADER']);
      const revoked = { token: admin, body: { reason: 'compromised' } };
      await scene.ask('keyService', `/v1/keys/${key.id}/revoke`, revoked);
      expect(await told(`${url}/stock`, { 'x-api-key': secret })).toEqual([403, 'API_KEY_REVOKED']);
    });

    test('loses no count of use when the example of key-guard is told to end', async () => {
      const url = await project.serve('key-guard.js', places());
      const { key, secret } = await newKey('warehouse', ['stock:read']);
      for (let i = 0; i < 50; i += 1)
        expect(await told(`${url}/stock`, { 'x-api-key': secret })).toEqual([200, undefined]);
      await project.stop();
      await until('all uses', async () => (await validUsesOf(key.id)) >= 50);
      expect(await validUsesOf(key.id)).toBe(50);
    });

    test('calls a service with a key, as the example of key-client says', async () => {
      project.write('client.mjs', exampleOf(readmeOf('key-client'), 1, 'js'));
      const { secret } = await newKey('service-a', ['reports:read']);
      const said = await project.run('client.mjs', { ...places(), KEYWARD_API_KEY: secret });
      expect(said).toMatch(/^200 \{/);
      expect(said).not.toContain(secret);
    });

    test('needs no framework for the core of key-guard', async () => {
      const source = readFileSync(
        join(folder.path, `nest-${nest}/node_modules/@keyward/key-guard/lib/core.js`),
        'utf8',
      );
      expect(source).not.toContain('nestjs');
      const url = await project.serve('core.js', places());
      const { secret } = await newKey('warehouse', ['stock:read']);
      expect((await call(url)).status).toBe(401);
      expect(await call(url, { headers: { 'x-api-key': secret } })).toMatchObject({ status: 200 });
    });
  },
);
