import { randomBytes } from 'node:crypto';
import { createLogger } from '#server';
import { startAppProcess, type AppProcess } from '../../../../test/support/app-process.js';
import { shiftedClock } from '../../../../test/support/shifted-clock.js';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, seed, type Seed } from '../testing/seed.js';
import { DatabaseClock } from './database-clock.js';

const MINUTE_MS = 60_000;

describe('a clock that goes by readings', () => {
  const log = createLogger('clock', 'silent');
  /** So many minutes ahead of the calendar, at some moment of the last minutes. */
  const reading = (aheadMinutes: number, { within = 0 } = {}) => {
    const arrivedMs = performance.now();
    const startedMs = arrivedMs - within * MINUTE_MS;
    return { theirsMs: Date.now() + aheadMinutes * MINUTE_MS, startedMs, arrivedMs };
  };
  const minutesAhead = (clock: DatabaseClock) => Math.round((clock.now() - Date.now()) / MINUTE_MS);

  it('is the calendar as long as that may be right', () => {
    const clock = new DatabaseClock(log);
    clock.hear(reading(-5, { within: 6 }));
    expect(minutesAhead(clock)).toBeCloseTo(0);
  });

  it('is theirs where it cannot be, as near as a reading allows', () => {
    const clock = new DatabaseClock(log);
    clock.hear(reading(-10, { within: 4 }));
    expect(minutesAhead(clock)).toBe(-6);
    clock.hear(reading(-10));
    expect(minutesAhead(clock)).toBe(-10);
    clock.hear(reading(-12, { within: 5 }));
    expect(minutesAhead(clock)).toBe(-10);
  });
});

describe.each([
  ['fast', 10 * MINUTE_MS],
  ['slow', -10 * MINUTE_MS],
])('a replica whose clock is ten minutes %s', (_how, byMs) => {
  const secrets = {
    KEY_SERVICE_SECRET: randomBytes(32).toString('base64'),
    KEY_PEPPERS: `1:${randomBytes(32).toString('base64')}`,
  };
  let management: ManagementApp;
  let world: Seed;
  let replica: AppProcess;
  beforeAll(async () => {
    management = await startManagement(undefined, secrets);
    world = await seed(management);
    replica = await startAppProcess(new URL('../main.js', import.meta.url), 'KEY_SERVICE_PORT', {
      ...secrets,
      ...shiftedClock(byMs),
      NODE_ENV: 'test',
      KEY_SERVICE_DATABASE_URL: management.postgres.runtimeUrl,
      LOGIN_URL: management.issuer.url,
    });
  });
  afterAll(async () => {
    await replica?.stop();
    await management?.stop();
  });

  const post = async (path: string, token: string, body: object) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = { method: 'POST', headers, body: JSON.stringify(body) };
    const answer = await fetch(`${replica.url}${path}`, sent);
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const verdictOf = async (secret: string, endsInSeconds: number) => {
    await management.postgres.owner.query(
      `UPDATE keys.key SET expires_at = now() + interval '${endsInSeconds} seconds'`,
    );
    const token = await management.issuer.service('service-a', 'keys:verify');
    return (await post('/v1/keys/verify', token, { key: secret })).body;
  };

  it('takes tokens, and lets keys pass until their end and no longer, by the time of the database', async () => {
    const { secret } = await world.issue();
    expect(await verdictOf(secret, 30)).toMatchObject({ code: 'VALID' });
    expect(await verdictOf(secret, -30)).toMatchObject({ code: 'EXPIRED' });
  });

  it('writes that time down, and warns of its own', async () => {
    const made = await post('/v1/keys', world.admin, keyBody());
    const { createdAt } = (made.body as { key: { createdAt: string } }).key;
    expect(Math.abs(Date.parse(createdAt) - Date.now())).toBeLessThan(MINUTE_MS);
    expect(replica.output()).toContain(`"aheadSeconds":${byMs / 1_000}`);
  });
});
