import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { startProxy, type Proxy } from '../../../test/support/proxy.js';
import { startRedis, type TestRedis } from '../../../test/support/redis.js';
import { RedisLink } from './redis-link.js';
import { wireOf } from './redis-wire.js';

const ECHO = 'return ARGV[1]';

let redis: TestRedis;
let proxy: Proxy;
let link: RedisLink;
/** Whether the answer that Redis gives next arrives twice. */
let isRepeating = false;
/** What it is, as it ends on the wire. */
const REPEATED = 'first\r\n';
/** What is logged as an error. */
let errors: string[];

beforeAll(async () => {
  redis = await startRedis();
  proxy = await startProxy(redis.url, {
    answers: () => (data) => {
      if (!isRepeating) return data;
      isRepeating = false;
      // the same bytes may hold answers to later questions
      return Buffer.concat([data.subarray(0, data.indexOf(REPEATED) + REPEATED.length), data]);
    },
  });
});
beforeEach(async () => {
  errors = [];
  const log = pino({ level: 'error' }, { write: (line) => void errors.push(line) });
  link = new RedisLink(proxy.through(redis.url), log);
  link.connect();
  await admitted();
});
afterEach(() => link.close());
afterAll(async () => {
  await proxy?.close();
  await redis?.remove();
});

const admitted = async () => {
  for (let tries = 0; link.runs === null; tries += 1) {
    if (tries === 200) throw new Error('Redis was not admitted');
    await link.readServers().then(
      (servers) => link.admit(servers),
      () => delay(10),
    );
  }
};
const ways = {
  script: () => {
    const echo = link.script(ECHO);
    return async (text: string) => (await echo<string>(['{k}'], [text]))?.answer ?? null;
  },
  bundle: () => {
    const echo = link.bundle(ECHO);
    return async (text: string) => {
      const wire = { keys: wireOf(['{k}']), keyCount: 1, args: wireOf([text]), argCount: 1 };
      const done = await echo<Buffer>(() => wire);
      return done === null ? null : String(done.answer);
    };
  },
};

/** Asked while another question is under way, whose answer then comes twice. */
const askedBehind = async <T>(ask: () => Promise<T>): Promise<T> => {
  const first = ways.bundle();
  await first('known to the server from here on');
  proxy.hold(true);
  isRepeating = true;
  const one = first('first');
  await delay(5);
  const other = ask();
  await delay(5);
  proxy.hold(false);
  expect(await one).toBe('first');
  return other;
};

describe.each(Object.entries(ways))('a %s', (_name, begin) => {
  it('answers what it was asked', async () => {
    const echo = begin();
    expect(await Promise.all(['first', 'second'].map(echo))).toEqual(['first', 'second']);
  });

  it('gives no answer rather than that to another question, and the next is asked anew', async () => {
    const echo = begin();
    await echo('known to the server from here on');
    expect(await askedBehind(() => echo('second'))).toBeNull();
    expect(link.runs).toBeNull();
    await admitted();
    expect(await echo('third')).toBe('third');
  });
});

it('tells of it once, however many answers were to other questions', async () => {
  const echo = ways.bundle();
  const all = Array.from({ length: 50 }, (_, i) => String(i));
  expect(new Set(await askedBehind(() => Promise.all(all.map(echo))))).toEqual(new Set([null]));
  expect(errors).toHaveLength(1);
  await admitted();
  expect(await echo('after')).toBe('after');
});

it('connects anew where the end of a connection was lost on its way', async () => {
  const admin = new Redis(redis.url);
  proxy.blackhole(true);
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  admin.disconnect();
  await delay(50);
  proxy.blackhole(false);
  link.suspend('asked anew');
  await admitted();
  expect(errors).toHaveLength(1);
}, 20_000);

it('stays with one that answers, though it does not say who it is', async () => {
  const admin = new Redis(redis.url);
  let refusals = 0;
  await admin.call('ACL', 'SETUSER', 'default', '-info');
  link.suspend('asked anew');
  const endMs = performance.now() + 3_500;
  while (performance.now() < endMs) {
    await link.readServers().catch(() => (refusals += 1));
    await delay(100);
  }
  await admin.call('ACL', 'SETUSER', 'default', '+info');
  admin.disconnect();
  expect([errors, link.isConnected]).toEqual([[], true]);
  expect(refusals).toBeGreaterThan(20);
  await admitted();
}, 20_000);

it('admits nobody whose answer is to another question than who it is, and connects anew', async () => {
  await expect(askedBehind(() => link.readServers())).rejects.toThrow('another question');
  expect(link.runs).toBeNull();
  await admitted();
  expect(await link.get('{k}')).toMatchObject({ answer: null });
});
