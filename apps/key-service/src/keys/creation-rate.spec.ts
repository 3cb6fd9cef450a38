import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, problemIn, seed, type Seed } from '../testing/seed.js';
import { CreationRate } from './creation-rate.js';

let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  management = await startManagement(undefined, { KEY_CREATIONS_PER_MINUTE: '5' });
  world = await seed(management);
});
afterAll(() => management?.stop());

it('a loop that makes keys is 429 beyond the rate, makes none then, and holds up nobody else', async () => {
  const post = (token: string) => management.call('post', '/v1/keys', token).send(keyBody());
  const before = await world.count('key');
  const answers = await Promise.all(Array.from({ length: 12 }, () => post(world.admin)));
  const refused = answers.filter(({ status }) => status !== 201);
  expect(await world.count('key')).toBe(before + answers.length - refused.length);
  // one flows back every twelve seconds
  expect(refused.length).toBeGreaterThanOrEqual(5);
  for (const one of refused) {
    expect(problemIn(one)).toEqual({ status: 429, code: 'TOO_MANY_REQUESTS' });
    expect(one.headers).toMatchObject({
      'retry-after': '12',
      'ratelimit-policy': '"key-creations";q=5;w=60',
      ratelimit: '"key-creations";r=0;t=12',
    });
  }
  const other = await management.issuer.person('usr_other');
  expect((await post(other)).status).toBe(201);
  expect((await management.call('get', '/v1/keys', world.admin)).status).toBe(200);
});

it('a creation is free again after the time that is named', () => {
  let nowMs = 0;
  const rate = new CreationRate(5, () => nowMs);
  const isRefused = () => {
    try {
      rate.take({ actor: 'usr_1' });
      return false;
    } catch {
      return true;
    }
  };
  expect(Array.from({ length: 6 }, isRefused)).toEqual([false, false, false, false, false, true]);
  nowMs += 11_999;
  expect(isRefused()).toBe(true);
  nowMs += 1;
  expect([isRefused(), isRefused()]).toEqual([false, true]);
});
