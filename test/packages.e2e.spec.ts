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
const TYPESCRIPT = ['typescript@6.0', '@types/node@20'];
/**
 * Empty projects: some with what the README of one package installs and nothing else, and one with all packages. What the
 * examples are compiled of, and what is installed.
 */
const PROJECTS = {
  'jwt-guard': { type: 'module', shows: ['jwt-guard'], packages: () => installedBy('jwt-guard') },
  'key-guard': { type: 'module', shows: ['key-guard'], packages: () => installedBy('key-guard') },
  core: {
    type: 'module',
    shows: ['core', 'script'],
    packages: () => [tarballOf('key-guard'), tarballOf('key-client'), ...TYPESCRIPT],
  },
  'key-client': { type: 'module', shows: [], packages: () => installedBy('key-client') },
  'nest-11': {
    type: 'commonjs',
    shows: ['jwt-guard', 'jwt-guard-fastify', 'key-guard', 'key-guard-fastify', 'core'],
    packages: () => [
      ...['jwt-guard', 'key-guard', 'key-client'].map(tarballOf),
      ...['common', 'core', 'platform-express', 'platform-fastify'].map(
        (name) => `@nestjs/${name}@11`,
      ),
      ...['reflect-metadata', 'rxjs', 'typescript@5.9', '@types/node@20'],
    ],
  },
} as const;
type Name = keyof typeof PROJECTS;
const OPTIONS = [
  ...['--target', 'es2023', '--types', 'node', '--strict'],
  ...['--module', 'nodenext', '--experimentalDecorators', '--emitDecoratorMetadata'],
];

const folder = tempDir();
const projects = new Map<Name, OutsideProject>();
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
  [scene] = await Promise.all([
    startScene({ env: { TOKEN_AUDIENCES: 'warehouse' } }),
    ...(Object.keys(PROJECTS) as Name[]).map(install),
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
  await Promise.all([...projects.values()].map((project) => project.stop()));
  await scene?.platform.remove();
  folder.remove();
});

/** Makes an empty project with its packages. */
async function install(name: Name): Promise<void> {
  const { type, packages } = PROJECTS[name];
  projects.set(
    name,
    await createOutsideProject(join(folder.path, 'projects', name), type, packages()),
  );
}

const tarballOf = (name: string) => join(folder.path, `keyward-${name}-0.1.0.tgz`);

/** What the README of a package has its reader install, of the majors that are looked at here. */
function installedBy(name: string): string[] {
  const lines = readFileSync(readmeOf(name), 'utf8').matchAll(
    /^npm install (?:--save-dev )?(.+)$/gm,
  );
  const named = [...lines].flatMap(([, packages]) => packages!.replace(/ +#.*/, '').split(' '));
  return named.map((one) => {
    if (one === `./keyward-${name}-0.1.0.tgz`) return tarballOf(name);
    if (one.startsWith('@nestjs/')) return `${one}@12`;
    return TYPESCRIPT.find((pinned) => pinned.startsWith(`${one}@`)) ?? one;
  });
}

/** An example of a README by its name; those of a guard on Express, and as little changed as it takes on Fastify. */
function sourceOf(example: string): string {
  if (example === 'core') return exampleOf(readmeOf('key-guard'), 2);
  if (example === 'script')
    return readFileSync(join(ROOT, 'examples', 'script', 'summary.ts'), 'utf8');
  const source = exampleOf(readmeOf(example.replace('-fastify', '')));
  if (!example.endsWith('-fastify')) return source;
  const adapter = "import { FastifyAdapter } from '@nestjs/platform-fastify';\n";
  return adapter + source.replace('create(AppModule)', 'create(AppModule, new FastifyAdapter())');
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

test('what an admin pastes from the README of key-guard once more says what is there, and keeps its secret', () => {
  const { login, keyService } = scene.platform.quickstart;
  const pasted = exampleOf(readmeOf('key-guard'), 1, 'sh')
    .replaceAll('localhost:4001', login)
    .replaceAll('localhost:4002', keyService)
    .replace('../keyward/.keyward/quickstart.json', scene.platform.at('quickstart.json'));
  const { stdout, stderr } = spawnSync('bash', ['-c', `${pasted}\nprintf %s "$CLIENT_SECRET"`], {
    env: { ...process.env, CLIENT_SECRET: clientSecret },
    encoding: 'utf8',
  });
  expect(stdout).toBe(clientSecret);
  expect(stderr.match(/ALREADY_EXISTS: .+/g)).toEqual([
    'ALREADY_EXISTS: The slug warehouse is taken',
    'ALREADY_EXISTS: The client id warehouse is taken',
    'ALREADY_EXISTS: The slug stocktaking is taken',
  ]);
});

test('a package brings along no framework, and needs nothing that its README does not install', () => {
  const besides = (name: Name) => readdirSync(join(projects.get(name)!.folder, 'node_modules'));
  const foreign = /^(@nestjs|@aws-sdk|passport|express|fastify)/;
  const found = (['core', 'key-client', 'key-guard'] as const).map((name) =>
    besides(name).filter((one) => foreign.test(one)),
  );
  expect(found).toEqual([[], [], ['@nestjs', 'express']]);
});

test.each(['jwt-guard', 'key-guard', 'core', 'nest-11'] as const)(
  'the project %s compiles the examples of its READMEs, our declarations looked at as well',
  async (name) => {
    const [project, { type, shows }] = [projects.get(name)!, PROJECTS[name]];
    for (const example of shows) project.write(`${example}.ts`, sourceOf(example));
    const commonJs = type === 'commonjs' ? ['--verbatimModuleSyntax', 'false'] : [];
    await project.tsc('--init', ...OPTIONS, ...commonJs);
    // those of the compiler itself, which take a fifth of the time, are nobody's concern here
    const looks = ['--skipLibCheck', 'false', '--skipDefaultLibCheck', 'true'];
    const errors = await project.tsc('-p', '.', ...looks);
    // What Nest's own declarations lack in an app without its optional parts is not ours.
    const others = /^(?:\.\.\/)*node_modules\/(?!@keyward\/)/;
    expect(errors.filter((line) => !others.test(line))).toEqual([]);
  },
);

test.each([
  ['jwt-guard', 'jwt-guard'],
  ['nest-11', 'jwt-guard'],
  ['nest-11', 'jwt-guard-fastify'],
] as const)(
  'in the project %s the example %s lets in people by their tokens',
  async (name, file) => {
    const url = await projects.get(name)!.serve(`${file}.js`, places());
    const username = `user-${name}-${file}`;
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
  },
);

describe.each([
  ['key-guard', 'key-guard'],
  ['nest-11', 'key-guard'],
  ['nest-11', 'key-guard-fastify'],
] as const)('in the project %s the example %s', (name, file) => {
  let url: string;
  beforeAll(async () => {
    url = await projects.get(name)!.serve(`${file}.js`, places());
  });

  test('lets in services by their keys', async () => {
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

  test('loses no count of use when it is told to end', async () => {
    const { key, secret } = await newKey('warehouse', ['stock:read']);
    for (let i = 0; i < 50; i += 1)
      expect(await told(`${url}/stock`, { 'x-api-key': secret })).toEqual([200, undefined]);
    await projects.get(name)!.stop();
    await until('all uses', async () => (await validUsesOf(key.id)) >= 50);
    expect(await validUsesOf(key.id)).toBe(50);
  });
});

test('key-client alone calls a service with a key, as its example says', async () => {
  const project = projects.get('key-client')!;
  project.write('client.mjs', exampleOf(readmeOf('key-client'), 1, 'js'));
  const { secret } = await newKey('service-a', ['reports:read']);
  const said = await project.run('client.mjs', { ...places(), KEYWARD_API_KEY: secret });
  expect(said).toMatch(/^200 \{/);
  expect(said).not.toContain(secret);
});

test('the core of key-guard lets in services by their keys where there is no framework', async () => {
  const url = await projects.get('core')!.serve('core.js', places());
  const { secret } = await newKey('warehouse', ['stock:read']);
  expect((await call(url)).status).toBe(401);
  expect(await call(url, { headers: { 'x-api-key': secret } })).toMatchObject({ status: 200 });
});
