import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import type { UsageBatch, Verdict } from '#contracts';
import { serveFeed } from '../testing/stub-feed.js';
import { createStubServer, json, type StubServer } from '../testing/stub-server.js';
import type { GuardAnswer } from './check.js';
import { createKeyGuard, type KeyGuardCore } from './key-guard.js';
import type { KeyGuardOptions } from './options.js';

const valid: Verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  consumer: 'service-b',
  environment: 'live',
  scopes: ['reports:read', 'reports:write'],
  decision: { source: 'store', asOf: '2026-01-31T12:00:00.000Z', ttlSeconds: 60, version: 1 },
  lease: {
    notBefore: null,
    ipAllowlist: [],
    rateLimits: [],
    hasQuota: false,
    permits: 0,
    graceSeconds: 60,
    sensitiveScopes: [],
  },
};
const stale: Verdict = { ...valid, decision: { ...valid.decision, ttlSeconds: 0, stale: true } };
const question = { key: 'kw_live_x', scopes: ['reports:read'] };

describe('a guard whose feed is proven', () => {
  let keyService: StubServer;
  let other: StubServer | undefined;
  let guard: KeyGuardCore;
  let tellFeed: (name: string, data: object) => void = () => undefined;

  const make = (options: Partial<KeyGuardOptions> = {}) =>
    createKeyGuard({
      urls: [keyService.url],
      token: () => Promise.resolve('own-token'),
      service: 'reports',
      timeoutMs: 2_000,
      ...options,
    });
  const start = async (options: Partial<KeyGuardOptions> = {}) => {
    guard = make(options);
    while (!guard.state().isProven) await wait(10);
  };
  /** Answers questions like this from now on, after a pause. */
  const answer = (status: number, body: unknown, pauseMs = 0) =>
    keyService.answer(({ path }, response) => {
      if (path === '/v1/changes') tellFeed = serveFeed(response);
      else void wait(pauseMs).then(() => json(response, status, body));
    });
  const tell = async (): Promise<Verdict | '503'> => {
    try {
      return await guard.verify(question);
    } catch {
      return '503';
    }
  };
  const isOwn = (by = guard) => {
    const told = by.verify(question);
    if (!(told instanceof Promise)) return true;
    told.catch(() => undefined);
    return false;
  };

  beforeEach(async () => {
    keyService = await createStubServer();
    answer(200, valid);
  });
  afterEach(async () => {
    // what is left to report is not tried in vain
    answer(200, valid);
    await guard.close();
    await Promise.all([keyService.close(), other?.close()]);
    other = undefined;
  });

  it('counts the grace of what it was told before the feed was settled from when it asked', async () => {
    await start({ graceSeconds: 1 });
    expect(await tell()).toMatchObject({ valid: true });
    answer(500, {});
    // what changed just before the feed began may never be told: that it goes on proves nothing of this key
    const endMs = performance.now() + 20_000;
    while ((await tell()) !== '503' && performance.now() < endMs) await wait(20);
    expect(await tell()).toBe('503');
    expect(guard.state().isProven).toBe(true);
  });

  it('does not go by the grace while a replica is left that may know better', async () => {
    const revoked = { valid: false, code: 'REVOKED', decision: valid.decision };
    other = await createStubServer();
    // the verdict to be remembered is the first one's, however late it is
    let refused: number;
    other.answer(({ path }, response) => {
      if (path !== '/v1/changes') refused += 1;
      json(response, 503, {});
    });
    for (;;) {
      refused = 0;
      await start({ urls: [keyService.url, other.url] });
      while (!isOwn()) await wait(20);
      // one that failed more often, as the first was late again and again, is left alone for a while: then none is left
      if (refused < 3) break;
      await guard.close();
    }
    other.answer((_seen, response) => json(response, 200, revoked));
    // cut from whatever it needs: no heartbeat, no verdict
    keyService.answer(({ path }, response) => {
      if (path !== '/v1/changes') void wait(50).then(() => json(response, 503, {}));
    });
    keyService.closeConnections();
    while (guard.state().isProven) await wait(20);
    const told = [];
    for (let i = 0; i < 200; i += 1) {
      told.push(tell());
      await turn();
    }
    const codes = (await Promise.all(told)).map((one) => (one === '503' ? one : one.code));
    expect(codes).not.toContain('VALID');
    expect(codes).toContain('REVOKED');
    expect(await tell()).toMatchObject({ code: 'REVOKED' });
  });

  it('decides by no lease that comes with the refusal of the key itself', async () => {
    answer(200, { ...valid, valid: false, code: 'REVOKED' });
    await start();
    const told = new Set<string>();
    const endMs = performance.now() + 4_000;
    while (performance.now() < endMs) {
      const one = await tell();
      told.add(one === '503' ? one : one.code);
      await wait(20);
    }
    expect([...told]).toEqual(['503']);
    expect(guard.state().known).toBe(0);
  });

  it('counts a question once itself that was asked twice, as the first answer was lost', async () => {
    let asked = 0;
    const reports: UsageBatch[] = [];
    keyService.answer(({ path, body }, response) => {
      if (path === '/v1/changes') return serveFeed(response);
      if (path === '/v1/usage') {
        reports.push(JSON.parse(body) as UsageBatch);
        return json(response, 200, { accepted: 1, ignored: 0 });
      }
      asked += 1;
      expect(JSON.parse(body)).toMatchObject({ lease: { counted: true } });
      if (asked === 1) response.destroy();
      else json(response, 200, valid);
    });
    await start();
    expect(await tell()).toMatchObject({ valid: true });
    await guard.close();
    expect(asked).toBe(2);
    expect(reports.flatMap((one) => one.entries)).toMatchObject([{ code: 'VALID', count: 1 }]);
  });

  it('passes a verdict of the key service’s own grace on as one, and never decides by it again', async () => {
    answer(200, stale);
    await start();
    const endMs = performance.now() + 4_000;
    while (performance.now() < endMs) {
      expect(isOwn()).toBe(false);
      expect(await tell()).toMatchObject({ valid: true, decision: { stale: true } });
    }
    expect(guard.state().known).toBe(0);
    answer(500, {});
    expect(await tell()).toBe('503');
  });

  it('shares a verdict of that grace with all who wait for it, and says so to each', async () => {
    answer(200, stale, 50);
    await start();
    const scopes = [['reports:read'], ['reports:write'], ['reports:delete']];
    const all = Array.from({ length: 60 }, (_, i) => ({ ...question, scopes: scopes[i % 3]! }));
    const told = await Promise.all(all.map(async (one) => guard.verify(one)));
    expect(told.map((one) => one.decision.stale)).toEqual(all.map(() => true));
    expect(told.map((one) => one.code).slice(1, 3)).toEqual(['VALID', 'INSUFFICIENT_SCOPE']);
    const asked = keyService.seen.filter(({ path }) => path.startsWith('/v1/keys/'));
    expect(asked).toHaveLength(1);
  });

  it('shares a refusal with all who wait for it so that none can change it for the others', async () => {
    const superseded = { superseded: true, validUntil: '2026-01-31T12:00:00.000Z' };
    const { decision } = valid;
    answer(200, { valid: false, code: 'SUPERSEDED', rotation: superseded, decision }, 50);
    await start();
    const all = Array.from({ length: 3 }, async () => guard.verify(question));
    for (const one of await Promise.all(all)) {
      expect(one.code).toBe('SUPERSEDED');
      expect([one, one.rotation, one.decision].every(Object.isFrozen)).toBe(true);
    }
    const asked = keyService.seen.filter(({ path }) => path.startsWith('/v1/keys/'));
    expect(asked).toHaveLength(1);
  });

  it('asks anew when the time of a verdict is over, which is the lesser of the option and the answer', async () => {
    other = await createStubServer();
    guard = make({ ttlSeconds: 1 });
    const second = make({ ttlSeconds: 60, urls: [other.url] });
    /** How old a verdict was each time it was used without asking, until it was not. */
    const agesOf = async (by: KeyGuardCore, stub: StubServer, ttlSeconds: number) => {
      const askedAtMs: number[] = [];
      stub.answer(({ path }, response) => {
        if (path.startsWith('/v1/keys/')) askedAtMs.push(performance.now());
        if (path === '/v1/changes') serveFeed(response);
        else json(response, 200, { ...valid, decision: { ...valid.decision, ttlSeconds } });
      });
      while (!isOwn(by)) await wait(20);
      const ages: number[] = [];
      const { length } = askedAtMs;
      while (askedAtMs.length === length && (ages.at(-1) ?? 0) < 1_000) {
        const ageMs = performance.now() - askedAtMs.at(-1)!;
        if (isOwn(by)) ages.push(ageMs);
        await wait(5);
      }
      return ages;
    };
    const both = [agesOf(guard, keyService, 60), agesOf(second, other, 1)];
    const ages = (await Promise.all(both)).flat();
    await second.close();
    expect(ages.filter((ageMs) => ageMs >= 1_000)).toEqual([]);
  });

  it('asks about keys that it does not know in one question where they come in the same turn', async () => {
    const resultsOf = (body: string) => {
      const { requests = [] } = JSON.parse(body) as { requests?: { key: string }[] };
      return requests.map(({ key }) => ({ ...valid, consumer: key.slice(-1) }));
    };
    keyService.answer(({ path, body }, response) => {
      if (path === '/v1/changes') serveFeed(response);
      else json(response, 200, { results: resultsOf(body) });
    });
    await start();
    const keys = ['kw_live_x', 'kw_live_y'];
    const told = await Promise.all(keys.map(async (key) => guard.verify({ ...question, key })));
    expect(told.map(({ code, consumer }) => [code, consumer])).toEqual([
      ['VALID', 'x'],
      ['VALID', 'y'],
    ]);
    const paths = keyService.seen.map(({ path }) => path);
    expect(paths.filter((path) => path.startsWith('/v1/keys/'))).toEqual(['/v1/keys/verify-batch']);
  });

  it('gives no grace once the feed has told that the policy was changed', async () => {
    await start();
    expect(await tell()).toMatchObject({ valid: true });
    answer(503, {});
    expect(await tell()).toMatchObject({ valid: true, decision: { stale: true } });
    tellFeed('policy', { seq: 2 });
    while ((await tell()) !== '503') await turn();
    expect(guard.state()).toMatchObject({ isProven: true, known: 1 });
  });

  it('answers about a key again whose change was told and then lost with its history', async () => {
    const at = (version: number) => ({ ...valid, decision: { ...valid.decision, version } });
    answer(200, at(4));
    await start();
    tellFeed('change', { seq: 2, keyId: valid.keyId, version: 5 });
    while ((await tell()) !== '503') await turn();
    tellFeed('reset', { seq: 1 });
    while ((await tell()) === '503') await turn();
    while (!isOwn()) await wait(20);
    expect(guard.verify(question)).toMatchObject({ valid: true, decision: { version: 4 } });
  });

  it('shares and keeps no answer to a question of before the feed began anew', async () => {
    await start({ timeoutMs: 30_000 });
    await guard.verify({ ...question, key: 'kw_live_y' });
    const asked: ((verdict: Verdict) => void)[] = [];
    const isAsked = async (times: number) => {
      while (asked.length < times) await wait(5);
    };
    keyService.answer((_seen, response) => asked.push((verdict) => json(response, 200, verdict)));
    const first = tell();
    await isAsked(1);
    tellFeed('reset', { seq: 1 });
    while (guard.state().known > 0) await turn();
    while (!guard.state().isProven) await turn();
    const second = tell();
    asked[0]!({ ...valid, decision: { ...valid.decision, version: 3 } });
    expect(await first).toMatchObject({ code: 'VALID', decision: { version: 3 } });
    await Promise.race([second, isAsked(2)]);
    expect(guard.state().known).toBe(0);
    asked[1]!({ valid: false, code: 'REVOKED', decision: { ...valid.decision, version: 2 } });
    expect(await second).toMatchObject({ code: 'REVOKED' });
  });

  it('still tells of a quota after an answer that did not come to it', async () => {
    const quota = { limit: 1_000, remaining: 900, resetsAt: null };
    const lease = { ...valid.lease!, hasQuota: true };
    keyService.answer(({ path, body }, response) => {
      if (path === '/v1/changes') return json(response, 503, {});
      const isRead = body.includes('reports:read');
      const passed = { ...valid, quota, lease: { ...lease, permits: 5 } };
      const notSo = { ...valid, valid: false, code: 'INSUFFICIENT_SCOPE', lease };
      json(response, 200, isRead ? passed : notSo);
    });
    guard = make();
    const told = { code: 'VALID', quota: { limit: 1_000, remaining: 905 } };
    expect(await tell()).toMatchObject(told);
    const refused = await guard.verify({ ...question, scopes: ['reports:delete'] });
    expect(refused.code).toBe('INSUFFICIENT_SCOPE');
    // no feed either: one that begins tells to forget what was known before
    keyService.answer((_seen, response) => json(response, 503, {}));
    const next = { ...told.quota, remaining: 904 };
    expect(await tell()).toMatchObject({ ...told, quota: next, decision: { stale: true } });
  });

  it('follows the feed although the source of its token has hung once', async () => {
    let calls = 0;
    const hung = new Promise<string>(() => undefined);
    const token = () => ((calls += 1) === 1 ? hung : Promise.resolve('own-token'));
    await start({ token, timeoutMs: 50 });
    expect(guard.state().isProven).toBe(true);
  });

  it('begins no feed when it was closed while it waited for its token', async () => {
    let give: (token: string) => void = () => undefined;
    const token = () => new Promise<string>((resolve) => (give = resolve));
    guard = make({ token });
    await guard.close();
    give('own-token');
    await turn();
    // comes after whatever the guard has sent
    await fetch(keyService.url);
    expect(keyService.seen.map(({ path }) => path)).toEqual(['/']);
  });

  describe('and a key that was just let through', () => {
    const request = { headers: { 'x-api-key': 'kw_live_x' }, ip: '203.0.113.9' };
    const scopes = ['reports:read'];
    let checks: (GuardAnswer | Promise<GuardAnswer>)[] = [];
    beforeEach(() => void (checks = []));
    /** The answer without a word to the key service; null where it is asked. */
    const own = (wanted = scopes) => {
      const told = guard.check(request, wanted);
      checks.push(told);
      return told instanceof Promise ? null : told;
    };
    const letThrough = async (told: Verdict = valid) => {
      answer(200, told);
      await untilKnown();
    };
    const untilKnown = async () => {
      await start();
      while (own()?.allowed !== true) await wait(20);
      expect(own()).toEqual(own());
    };

    it('is decided anew for other scopes, also where the same list was changed', async () => {
      await letThrough();
      const list = ['reports:read'];
      expect(own(list)?.allowed).toBe(true);
      list[0] = 'reports:delete';
      expect(own(list)).toMatchObject({ status: 403, verdict: { code: 'INSUFFICIENT_SCOPE' } });
      expect(own(['reports:read', 'reports:delete'])?.allowed).toBe(false);
      expect(own()?.allowed).toBe(true);
    });

    it('ends with its time to the moment, without a question', async () => {
      let expiresMs = 0;
      // in the middle of a second of what it is told: whoever goes by whole ones is late
      const inMs = 2_500;
      keyService.answer(({ path }, response) => {
        if (path.startsWith('/v1/keys/')) expiresMs = Date.now() + inMs;
        if (path === '/v1/changes') serveFeed(response);
        else json(response, 200, { ...valid, expiresAt: new Date(expiresMs).toISOString() });
      });
      await untilKnown();
      let lastMs = Date.now();
      let last = own();
      while (last?.allowed !== false) {
        await turn();
        const nowMs = Date.now();
        last = own();
        if (last?.allowed === true) lastMs = nowMs;
      }
      expect(last).toMatchObject({ status: 403, verdict: { code: 'EXPIRED' } });
      // what the two clocks of a machine may drift apart meanwhile
      expect(lastMs).toBeLessThan(expiresMs + 50);
    });

    it('is asked about as soon as a change of it is told', async () => {
      await letThrough();
      answer(200, { valid: false, code: 'REVOKED', decision: { ...valid.decision, version: 2 } });
      tellFeed('change', { seq: 2, keyId: valid.keyId, version: 2 });
      while (guard.state().known > 0) {
        expect(own()?.allowed).toBe(true);
        await turn();
      }
      expect(own()).toBeNull();
      expect(await guard.check(request, scopes)).toMatchObject({ status: 403 });
    });

    it('is asked about as soon as the feed cannot go on, which then goes on after the number it named', async () => {
      await letThrough();
      tellFeed('reset', { seq: 41 });
      while (guard.state().known > 0) {
        expect(own()?.allowed).toBe(true);
        await turn();
      }
      expect(own()).toBeNull();
      keyService.seen.length = 0;
      keyService.closeConnections();
      const isFeed = ({ path }: { path: string }) => path === '/v1/changes';
      while (!keyService.seen.some(isFeed)) await wait(10);
      expect(keyService.seen.find(isFeed)!.headers['last-event-id']).toBe('41');
    });

    it('is decided anew as soon as the key service tells its time anew', async () => {
      const expiresAt = new Date(Date.now() + 60_000).toISOString();
      await letThrough({ ...valid, expiresAt });
      const answers: string[] = [];
      const note = () => answers.push(own()?.verdict?.code ?? 'asked');
      note();
      const theirs = () => new Date(Date.now() + 3_600_000).toISOString();
      tellFeed('hello', { now: theirs() });
      while (answers.at(-1) === 'VALID') {
        tellFeed('heartbeat', { seq: 1, at: theirs() });
        await turn();
        note();
      }
      expect(answers.at(-1)).toBe('EXPIRED');
    });

    it('is refused beside another credential, and as one of two keys, all the same', async () => {
      await letThrough();
      const { headers } = request;
      const two = 'kw_live_x,kw_live_y';
      // a text that the key service itself takes for a key
      expect(await guard.verify({ key: two, scopes })).toMatchObject({ valid: true });
      while (guard.verify({ key: two, scopes }) instanceof Promise) await wait(20);
      expect(own()?.allowed).toBe(true);
      const refused = [{ ...headers, authorization: 'Bearer x' }, { 'x-api-key': two }];
      for (const headers of refused)
        expect(await guard.check({ ...request, headers }, scopes)).toMatchObject({ status: 400 });
    });

    it('is asked about as soon as the feed is not proven', async () => {
      await letThrough();
      keyService.answer((_seen, response) => json(response, 503, {}));
      keyService.closeConnections();
      for (let told = own(); told !== null; told = own()) expect(told.allowed).toBe(true);
      expect(guard.state().isProven).toBe(false);
    });

    it('is decided anew by the address where that counts', async () => {
      const lease = { ...valid.lease!, ipAllowlist: ['203.0.113.0/24'] };
      await letThrough({ ...valid, lease });
      const elsewhere = guard.check({ ...request, ip: '198.51.100.1' }, scopes);
      expect(elsewhere).toMatchObject({ status: 403, verdict: { code: 'IP_NOT_ALLOWED' } });
    });

    it('is counted each time, and once', async () => {
      await letThrough();
      const reports = new Map<string, UsageBatch>();
      keyService.answer(({ path }, response) => {
        if (path === '/v1/changes') serveFeed(response);
        else json(response, 200, { accepted: 1, ignored: 0 });
      });
      const before = keyService.seen.length;
      const isReport = ({ path }: { path: string }) => path === '/v1/usage';
      while (keyService.seen.slice(before).filter(isReport).length < 2) {
        for (let i = 0; i < 100; i += 1) expect(own()?.allowed).toBe(true);
        await wait(50);
      }
      const answers = await Promise.all(checks.map(async (one) => one));
      await guard.close();
      for (const { path, body } of keyService.seen) {
        if (path !== '/v1/usage') continue;
        const batch = JSON.parse(body) as UsageBatch;
        reports.set(batch.batchId, batch);
      }
      const entries = [...reports.values()].flatMap((one) => one.entries);
      const counted = entries.reduce((all, one) => all + one.count, 0);
      expect(answers.every(({ allowed }) => allowed)).toBe(true);
      expect(counted).toBe(checks.length);
    });

    it('has a verdict that nobody can change for the next one', async () => {
      await letThrough();
      const { verdict } = own() as { verdict: Verdict };
      expect(() => verdict.scopes!.push('reports:delete')).toThrow(TypeError);
      expect(() => (verdict.code = 'REVOKED')).toThrow(TypeError);
      expect(() => (verdict.metadata!.owner = 'me')).toThrow(TypeError);
      expect(own(['reports:delete'])?.allowed).toBe(false);
    });
  });
});
