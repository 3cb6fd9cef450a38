import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { makeKeyText, portableDigestOfText } from '#key-core';
import { ForeignKeys } from './foreign-keys.js';
import { createLocalPool } from './local-database.js';
import { LocalPeppers } from './local-peppers.js';
import { takeOver } from './take-over.js';
import { startLocalService, type LocalService } from './testing.js';

const FOREIGN = 'old_7f3a9c51d2e84b60';
let service: LocalService;
let pool: Pool;
let peppers: LocalPeppers;
beforeAll(async () => {
  service = await startLocalService();
  pool = createLocalPool(service.env['SERVICE_A_DATABASE_URL']!, 2);
  peppers = new LocalPeppers(pool, Buffer.from(service.env['SERVICE_A_KEY_SECRET']!, 'base64'));
});
afterAll(async () => {
  await pool?.end();
  await service?.stop();
});

/** How many statements work takes. */
async function statementsOf(work: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const counted = () => (count += 1);
  pool.on('acquire', counted);
  await work();
  pool.off('acquire', counted);
  return count;
}

const reports = (key: string) => service.call('/v1/reports', { headers: { 'x-api-key': key } });

it('junk costs no statement each: one a second in all where nothing was taken over, none for a bad checksum', async () => {
  const foreign = new ForeignKeys({ pool, peppers, now: () => 0 });
  const junk = Array.from({ length: 50 }, () => randomBytes(20).toString('hex'));
  await expect(
    statementsOf(async () => {
      for (const one of junk) await expect(foreign.find(one)).resolves.toBeNull();
    }),
  ).resolves.toBe(1);
  const { text } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
  const misspelt = text.slice(0, -1) + (text.endsWith('a') ? 'b' : 'a');
  const fresh = new ForeignKeys({ pool, peppers, now: () => 0 });
  await expect(statementsOf(() => fresh.find(misspelt))).resolves.toBe(0);
});

/** Takes a key with this text over, as from an export. */
async function takeOverOne(text: string): Promise<void> {
  const pepper = randomBytes(32);
  const digest = portableDigestOfText(pepper, text).toString('base64url');
  const at = new Date().toISOString();
  const secret = {
    number: 1,
    createdAt: at,
    validUntil: null,
    digest,
    prefix: 'old',
    last4: '4b60',
  };
  await takeOver(
    { pool, peppers },
    {
      header: {} as never,
      pepper,
      keys: [
        {
          ...{ type: 'key', id: `key_${randomBytes(8).toString('hex')}`, name: 'from there' },
          ...{ consumer: 'service-b', environment: 'live', scopes: ['reports:read'] },
          ...{ enabled: true, notBefore: null, expiresAt: null, rateLimits: [], quota: null },
          ...{ ipAllowlist: [], tags: [], metadata: {}, createdAt: at, secrets: [secret] },
        },
      ],
    },
  );
}

it('keys that are taken over while it runs are found after a second', async () => {
  let nowMs = 0;
  const foreign = new ForeignKeys({ pool, peppers, now: () => nowMs });
  await expect(foreign.find(FOREIGN)).resolves.toBeNull();
  await takeOverOne(FOREIGN);
  nowMs += 1_001;
  await expect(foreign.find(FOREIGN)).resolves.toMatchObject({ name: 'from there' });
});

it('they are found by the service after a second also where its clock is set back', async () => {
  const text = `${FOREIGN}2`;
  expect((await reports(text)).status).toBe(403);
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  try {
    await takeOverOne(text);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect((await reports(text)).status).toBe(200);
  } finally {
    Date.now = now;
  }
});

it('a text with bytes that no key has is not looked for', async () => {
  const foreign = new ForeignKeys({ pool, peppers, now: () => 0 });
  for (const text of [`${FOREIGN}\x80`, `old_\xff${FOREIGN}`, `${FOREIGN} `])
    await expect(statementsOf(() => foreign.find(text))).resolves.toBe(0);
});

it('a flood of junk whose look-ups hang takes nothing from good keys', async () => {
  const body = { name: 'job', consumer: 'service-b', scopes: ['reports:read'] };
  const made = await service.call('/v1/api-keys', { token: service.admin, body });
  const good = made.body['secret'] as string;
  const owner = service.postgres;
  const held = owner.query('DO $$ BEGIN LOCK TABLE service_a.pepper; PERFORM pg_sleep(4); END $$');
  const flood = Array.from({ length: 60 }, (_, i) => reports(`junk_${i}_0123456789abcdef`));
  const answers = await Promise.all(Array.from({ length: 20 }, () => reports(good)));
  expect(new Set(answers.map((one) => one.status))).toEqual(new Set([200]));
  await Promise.all([...flood, held]);
});
