import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { seed, type Seed } from '../testing/seed.js';
import { Usage } from './usage.js';

let management: ManagementApp;
let world: Seed;
beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
}, 60_000);
afterAll(() => management.stop());

const usage = () => management.app.get(Usage);
const countsOf = async (keyId: string) =>
  management.postgres.owner.query<object[]>(
    `SELECT service, secret, superseded, code, sum(count)::int AS count FROM keys.usage_minute
     WHERE key_id = $1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`,
    [keyId],
  );

test('verifications are counted by key, secret, service and outcome', async () => {
  const { key, secret } = await world.issue();
  for (let n = 0; n < 3; n++) expect(await world.codeOf(secret)).toBe('VALID');
  expect(await world.codeOf(secret, 'service-x')).toBe('NOT_FOUND');
  expect(await world.codeOf('junk')).toBe('MALFORMED');
  await usage().flush();
  expect(await countsOf(key.id)).toEqual([
    { service: 'service-a', secret: 1, superseded: false, code: 'VALID', count: 3 },
  ]);
  expect(await countsOf('')).toEqual([
    { service: 'service-a', secret: 0, superseded: false, code: 'MALFORMED', count: 1 },
    { service: 'service-x', secret: 0, superseded: false, code: 'NOT_FOUND', count: 1 },
  ]);
});
