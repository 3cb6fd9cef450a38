import type { IssuedClient, TokenPair, User } from '#contracts';
import {
  ADMIN,
  createLoginLab,
  type Answer,
  type LoginLab,
  type LoginServer,
} from './testing/login-server.js';

const PASSWORD = 'seven green bottles on a wall';
let lab: LoginLab;
let login: LoginServer;
let token: string;

beforeAll(async () => {
  lab = await createLoginLab();
  login = await lab.start();
  token = await tokenOf(ADMIN);
});
afterAll(() => lab.close());

async function tokenOf(person: { username: string; password: string }): Promise<string> {
  const { body } = await login.call('POST', '/v1/login', { body: person });
  return (body as TokenPair).accessToken;
}

const send = (path: string, key: string, body: object = {}, as = token): Promise<Answer> =>
  login.call('POST', path, { body, token: as, headers: { 'idempotency-key': key } });
const isReplay = ({ headers }: Answer) => headers.get('idempotency-replayed') === 'true';
const codeOf = ({ status, body }: Answer) => [status, (body as { code?: string }).code];
const reused = [422, 'IDEMPOTENCY_KEY_REUSED'];
const count = async (where: string): Promise<number> =>
  Number((await lab.postgres.query<{ n: string }>(`SELECT count(*) AS n FROM ${where}`))[0]!.n);

const CREATING: [string, (name: string) => object, string][] = [
  ['/v1/users', (username) => ({ username, password: PASSWORD }), 'login.user'],
  ['/v1/clients', (clientId) => ({ clientId }), 'login.client'],
];

test.each(CREATING)(
  'at %s the same key and body get the same answer, marked, and one thing is made',
  async (path, bodyOf, table) => {
    const before = await count(table);
    const first = await send(path, 'one', bodyOf('same'));
    const second = await send(path, 'one', bodyOf('same'));
    expect([first.status, second.status]).toEqual([201, 201]);
    expect([isReplay(first), isReplay(second)]).toEqual([false, true]);
    expect(second.body).toEqual(first.body);
    for (const name of ['location', 'etag'])
      expect(second.headers.get(name)).toBe(first.headers.get(name));
    expect(await count(table)).toBe(before + 1);
    expect(codeOf(await send(path, 'one', bodyOf('other')))).toEqual(reused);
    await lab.postgres.query(`DELETE FROM login.idempotency`);
    expect(codeOf(await send(path, 'two', bodyOf('same')))).toEqual([409, 'ALREADY_EXISTS']);
    expect(await count(table)).toBe(before + 1);
  },
);

test('of 20 requests at the same time one does it and the others get its answer', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => send('/v1/clients', 'crowd', { clientId: 'crowd' })),
  );
  expect(new Set(answers.map((one) => one.status))).toEqual(new Set([201]));
  expect(new Set(answers.map((one) => (one.body as IssuedClient).clientSecret)).size).toBe(1);
  expect(answers.filter((one) => !isReplay(one))).toHaveLength(1);
});

test('a secret is replaced once, and given again within 10 minutes only', async () => {
  const path = '/v1/clients/service-a/secret';
  const first = await send(path, 'replace');
  const second = await send(path, 'replace');
  expect([isReplay(first), isReplay(second)]).toEqual([false, true]);
  expect(second.body).toEqual(first.body);
  const { client, clientSecret } = first.body as IssuedClient;
  expect(clientSecret).toMatch(/^kws_/);
  const later = (time: string) =>
    lab.postgres.query(
      `UPDATE login.idempotency SET secret_until = secret_until - interval '${time}',
         created_at = created_at - interval '${time}'`,
    );
  await later('10 minutes');
  const late = await send(path, 'replace');
  expect([late.status, isReplay(late)]).toEqual([200, true]);
  expect(late.body).toEqual({ client });
  await send('/v1/clients', 'sweep', { clientId: 'sweep' });
  const sealed = `login.idempotency WHERE sent_under = 'replace' AND sealed_secret IS NOT NULL`;
  expect(await count(sealed)).toBe(0);
  await later('24 hours');
  const fresh = await send(path, 'replace');
  expect([fresh.status, isReplay(fresh)]).toEqual([200, false]);
});

test('a key is its admin’s own', async () => {
  const other = { username: 'second-admin', password: PASSWORD };
  await send('/v1/users', 'make-admin', { ...other, roles: ['admin'] });
  const first = await send('/v1/clients', 'shared', { clientId: 'mine' });
  const theirs = await send('/v1/clients', 'shared', { clientId: 'theirs' }, await tokenOf(other));
  expect([first.status, theirs.status, isReplay(theirs)]).toEqual([201, 201, false]);
});

test('what was refused is not kept: the same key does it once it can be done', async () => {
  const body = { clientId: 'patient' };
  await send('/v1/clients', 'first', body);
  expect(codeOf(await send('/v1/clients', 'retry', body))).toEqual([409, 'ALREADY_EXISTS']);
  await login.call('DELETE', '/v1/clients/patient', { token });
  const answer = await send('/v1/clients', 'retry', body);
  expect([answer.status, isReplay(answer)]).toEqual([201, false]);
});

test.each([
  ['is empty', ''],
  ['holds a space', 'a b'],
  ['is too long', 'x'.repeat(256)],
])('a key that %s is refused', async (_, key) => {
  const answer = await send('/v1/clients', key, { clientId: 'never' });
  expect(codeOf(answer)).toEqual([400, 'INVALID_HEADER']);
});

test('the database holds neither a secret nor a password that can be read or guessed', async () => {
  const { body } = await send('/v1/clients', 'sealed', { clientId: 'sealed' });
  const { clientSecret } = body as IssuedClient;
  const made = await send('/v1/users', 'secretive', { username: 'secretive', password: PASSWORD });
  expect((made.body as User).username).toBe('secretive');
  const forms = [clientSecret, PASSWORD].flatMap((text) => [
    text,
    Buffer.from(text).toString('hex'),
    Buffer.from(text).toString('base64').slice(0, -4),
  ]);
  for (const form of forms)
    expect(await count(`login.idempotency t WHERE t::text LIKE '%${form}%'`)).toBe(0);
  const asked = JSON.stringify([
    'POST',
    '/v1/users',
    null,
    { password: PASSWORD, username: 'secretive' },
  ]);
  const digest = `sha256(convert_to('${asked}', 'UTF8'))`;
  expect(await count(`login.idempotency WHERE request = ${digest}`)).toBe(0);
});
