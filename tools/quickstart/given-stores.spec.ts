import { readConfig } from './config.js';
import { checkDatabase, checkRedis, refuseOwnServers } from './given-stores.js';
import { freePort } from './ports.js';
import { passwordsOf } from './secrets.js';

const state = { provisioned: 'it', passwords: {}, postgresPort: 15_432, redisPort: 16_379 };
const passwords = passwordsOf(readConfig({}), state);
const own = { home: { path: '/home/keyward' }, state, passwords };
const ownDatabase = `postgresql://keyward_owner:${passwords.owner}@127.0.0.1:15432/keyward`;
const ownRedis = `redis://:${encodeURIComponent(passwords.redis)}@127.0.0.1:16379`;

it('a shell that holds the settings of the platform itself is told which, and what to do', () => {
  const env = { MIGRATION_DATABASE_URL: ownDatabase, REDIS_URL: ownRedis };
  expect(() => refuseOwnServers(readConfig(env), own)).toThrow(
    /MIGRATION_DATABASE_URL, REDIS_URL point: .*\/home\/keyward.* unset MIGRATION_DATABASE_URL REDIS_URL$/,
  );
});

it.each([
  ['none', {}],
  ['another port', { DATABASE_URL: ownDatabase.replace('15432', '5432') }],
  ['another password', { DATABASE_URL: ownDatabase.replace(passwords.owner, 'theirs') }],
  ['several servers', { DATABASE_URL: 'postgresql://o:p@one:5432,two:5432/keyward' }],
])('stores of the environment are taken as they are: %s', (_what, env) => {
  expect(() => refuseOwnServers(readConfig(env), own)).not.toThrow();
});

it('a database that does not answer is told by the setting that names it, without its password', async () => {
  const port = await freePort();
  const trying = checkDatabase('DATABASE_URL', `postgresql://o:hidden@127.0.0.1:${port}/keyward`);
  await expect(trying).rejects.toThrow(
    `The PostgreSQL that DATABASE_URL names, at 127.0.0.1:${port}, cannot be used (connect ECONNREFUSED`,
  );
  await expect(trying).rejects.not.toThrow(/hidden/);
});

it('a Redis that does not answer is told by the setting that names it, without its password', async () => {
  const port = await freePort();
  const trying = checkRedis('REDIS_URL', `redis://:hidden@127.0.0.1:${port}`);
  await expect(trying).rejects.toThrow(
    `The Redis that REDIS_URL names cannot be used (connect ECONNREFUSED 127.0.0.1:${port})`,
  );
  await expect(trying).rejects.not.toThrow(/hidden/);
});
