import { pino } from 'pino';
import { connectWithin } from './connect-within.js';
import { ConfigError } from './load-config.js';

const logged: Record<string, unknown>[] = [];
const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
const database = { variable: 'KEY_SERVICE_DATABASE_URL', servers: ['one:5432', 'two:5432'] };
const failing = (message: string, code?: string) =>
  Object.assign(new Error(message), code !== undefined && { code });
const connecting = (limitMs: number, ...errors: Error[]) =>
  connectWithin({ limitMs, log, database }, () => {
    const error = errors.length > 1 ? errors.shift() : errors[0];
    return error === undefined ? Promise.resolve() : Promise.reject(error);
  }).catch((error: unknown) => error);

const place = 'the PostgreSQL that KEY_SERVICE_DATABASE_URL names, at one:5432, two:5432';

beforeEach(() => {
  logged.length = 0;
});

it('a database that does not answer in time is named by its setting and servers, with what to do', async () => {
  const refused = ['one', 'two'].map((host) => failing(`ECONNREFUSED ${host}`, 'ECONNREFUSED'));
  const error = await connecting(-1, new AggregateError(refused));
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).toMatch(
    `${place}, does not answer (ECONNREFUSED one; ECONNREFUSED two). Set KEY_SERVICE_DATABASE_URL to one that runs`,
  );
});

it.each([
  [failing('password authentication failed for user "u"', '28P01')],
  [failing('database "x" does not exist', '3D000')],
  [failing('The server does not support SSL connections')],
])('one that refuses is not waited for: %s', async (refusal) => {
  const error = await connecting(60_000, refusal);
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as Error).message).toMatch(`${place} (${refusal.message})`);
});

it('one without a schema is told to be migrated; a fault of ours stays one', async () => {
  const error = await connecting(60_000, failing('relation "x" does not exist', '42P01'));
  expect(error).toMatchObject({ message: expect.stringContaining('npm run migrate') });
  const fault = new TypeError('x is not a function');
  expect(await connecting(60_000, fault)).toBe(fault);
});

it('what is waited for is told once for each reason, without a stack', async () => {
  const starting = failing('the database system is starting up', '57P03');
  const refused = failing('connect ECONNREFUSED', 'ECONNREFUSED');
  await connecting(60_000, refused, refused, starting, failing('no', '28P01'));
  expect(logged.map(({ msg, why }) => [msg, why])).toEqual([
    [`waiting for ${place}`, refused.message],
    [`waiting for ${place}`, starting.message],
  ]);
  expect(JSON.stringify(logged)).not.toContain('stack');
});
