import type { Lease, Verdict } from '#contracts';
import { Breaker } from './breaker.js';
import { FeedClock } from './feed-clock.js';
import { KeyCache } from './key-cache.js';
import { knownKeyOf, verdictOn, type KnownKey } from './known-key.js';
import { answerAt, RecentTexts } from './recent-texts.js';
import { EventCutter } from './sse.js';
import { Terms } from './terms.js';

const NOW_MS = Date.parse('2027-01-31T12:00:00Z');
const lease = {
  notBefore: null,
  ipAllowlist: [],
  rateLimits: [],
  hasQuota: false,
  permits: 0,
  graceSeconds: 60,
  sensitiveScopes: ['reports:delete'],
};
const known = (
  digest: string,
  version: number,
  era: number | null = 1,
  { given = lease, sentAtMs = 0 }: { given?: Lease; sentAtMs?: number } = {},
): KnownKey =>
  knownKeyOf(
    {
      valid: true,
      code: 'VALID',
      keyId: 'key_3kTMd7QpXvB2nYcF',
      secretNumber: 1,
      consumer: 'service-b',
      environment: 'live',
      scopes: ['reports:read'],
      decision: { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 60, version },
    },
    given,
    { digest, service: 'service-a', sentAtMs, lifeMs: 60_000, era },
  );
const keyId = 'key_3kTMd7QpXvB2nYcF';
const letThrough = (
  texts: RecentTexts,
  one: KnownKey,
  scopes: string[],
  { code = 'VALID', text = 'text' }: { code?: Verdict['code']; text?: string } = {},
) => {
  const verdict = verdictOn(one, code, { ttlSeconds: 55, isStale: false });
  const row = { keyId, secretNumber: 1, superseded: false, code, minute: '', count: 1 };
  const at = { nowMs: 4_500, theirMs: NOW_MS };
  texts.keep(text, one, { scopes, verdict, tally: { row, turn: 1 }, ...at });
};

/** Places in a value that could be changed. */
const changeable = (value: unknown, place = 'answer'): string[] => {
  if (typeof value !== 'object' || value === null) return [];
  const inside = Object.entries(value).flatMap(([name, one]) =>
    changeable(one, `${place}.${name}`),
  );
  return Object.isFrozen(value) ? inside : [place, ...inside];
};

describe('KeyCache', () => {
  const started = (most = 10) => {
    const cache = new KeyCache(most);
    cache.restart(0);
    return cache;
  };

  it('uses nothing without asking until what changed before the feed began is settled', () => {
    const cache = started();
    expect([cache.eraAt(2_999), cache.eraAt(3_000)]).toEqual([null, 1]);
    cache.put(known('a', 1, cache.eraAt(2_000)));
    expect(cache.isCurrent(cache.get('a')!, 2_000)).toBe(false);
  });

  it('uses what was told until its time is over, and no longer', () => {
    const cache = started();
    cache.put(known('a', 1));
    const isCurrent = (nowMs: number) => cache.isCurrent(cache.get('a')!, nowMs);
    expect([0, 59_999, 60_000, 90_000].map(isCurrent)).toEqual([true, true, false, false]);
  });

  it('drops a key at a change, under each of its secrets, and takes no older answer afterwards', () => {
    const cache = started();
    for (const digest of ['old secret', 'new secret']) cache.put(known(digest, 1));
    cache.change(keyId, 2, 5_000);
    expect(cache.size).toBe(0);
    expect(cache.put(known('a', 1))).toBe(false);
    expect(cache.put(known('a', 2))).toBe(true);
  });

  it('is not moved by a change that is told twice or late', () => {
    const cache = started();
    cache.change(keyId, 3, 5_000);
    cache.put(known('a', 3));
    for (const version of [3, 2, 1, 3]) cache.change(keyId, version, 6_000);
    expect(cache.size).toBe(1);
    expect(cache.put(known('b', 2))).toBe(false);
  });

  it('does not go back to an older version by itself', () => {
    const cache = started();
    cache.put(known('a', 2));
    expect(cache.put(known('a', 1))).toBe(false);
    expect(cache.get('a')!.record.version).toBe(2);
  });

  it('forgets all when the feed begins anew', () => {
    const cache = started();
    cache.put(known('a', 1));
    const late = known('b', 1, cache.eraAt(5_000));
    cache.restart(5_001);
    expect(cache.size).toBe(0);
    expect(cache.put(late)).toBe(false);
    expect(cache.isCurrent(late, 9_000)).toBe(false);
  });

  it('forgets with it what versions keys had: of a history that was lost they are none', () => {
    const cache = started();
    cache.change(keyId, 5, 5_000);
    cache.restart(6_000);
    const asked = { keyId, sentAtMs: 6_001 };
    expect(cache.isOld({ ...asked, version: 4 })).toBe(false);
    const late = known('a', 5, null, { sentAtMs: 5_999 });
    expect([cache.isForgotten(late.sentAtMs), cache.put(late)]).toEqual([true, false]);
    const lagging = known('a', 5, cache.eraAt(6_001), { sentAtMs: 6_001 });
    const settled = known('a', 4, cache.eraAt(9_000), { sentAtMs: 9_000 });
    expect([cache.put(lagging), cache.isCurrent(lagging, 9_000)]).toEqual([true, false]);
    expect([cache.put(settled), cache.isCurrent(settled, 9_000)]).toEqual([true, true]);
    // its numbers are given again
    cache.change(keyId, 5, 9_500);
    expect([cache.size, cache.isOld({ ...asked, version: 4 })]).toEqual([0, true]);
  });

  it('keeps nothing of a changed key that it was told while the feed was not settled', () => {
    const cache = started();
    cache.put(known('a', 5, cache.eraAt(1)));
    cache.change(keyId, 5, 5_000);
    expect(cache.size).toBe(0);
  });

  it('takes an older answer again ten minutes after the change, whatever was told of other keys', () => {
    const cache = started();
    cache.change(keyId, 2, 5_000);
    const askedAfter = (ms: number) => known('a', 1, 1, { sentAtMs: 5_000 + ms });
    expect(cache.put(askedAfter(600_000))).toBe(false);
    expect(cache.put(askedAfter(600_001))).toBe(true);
  });

  it('lets nothing go on as before of a key that it drops, replaces or forgets', () => {
    const ends: ((cache: KeyCache) => void)[] = [
      (cache) => cache.drop('a'),
      (cache) => cache.change(keyId, 2, 5_000),
      (cache) => cache.put(known('a', 2)),
      (cache) => cache.restart(5_000),
    ];
    for (const end of ends) {
      const [cache, texts, one] = [started(), new RecentTexts(), known('a', 1)];
      cache.put(one);
      const { scopes } = one.record.grants[0]!;
      const found = () => texts.find('text', scopes, 4_600);
      for (const wanted of [['reports:write'], scopes]) letThrough(texts, one, wanted);
      expect([found(), texts.find('text', ['reports:write'], 4_600)]).not.toContain(null);
      // told anew meanwhile, it ends all the same
      answerAt(found()!, 20_000);
      end(cache);
      expect([found(), texts.find('text', ['reports:write'], 4_600)]).toEqual([null, null]);
    }
  });

  it('holds so many keys and no more; those not used for longest go', () => {
    const cache = started(3);
    for (const digest of ['a', 'b', 'c']) cache.put(known(digest, 1));
    cache.get('a');
    cache.put(known('d', 1));
    expect(['a', 'b', 'c', 'd'].map((one) => cache.get(one) !== undefined)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  it('counts a key that is let through as before as one that is used', () => {
    const [cache, texts] = [started(3), new RecentTexts()];
    const keys = ['a', 'b', 'c'].map((digest) => known(digest, 1));
    for (const one of keys) cache.put(one);
    for (const one of keys) letThrough(texts, one, ['reports:read'], { text: one.digest });
    const left = () => ['a', 'b', 'c', 'd', 'e'].filter((one) => cache.get(one) !== undefined);
    const use = (text: string) => answerAt(texts.find(text, ['reports:read'], 4_600)!, 4_600);
    use('a');
    cache.put(known('d', 1));
    expect(left()).toEqual(['a', 'c', 'd']);
    // where all are used, the new one is kept all the same
    letThrough(texts, cache.get('d')!, ['reports:read'], { text: 'd' });
    for (const text of ['a', 'c', 'd']) use(text);
    cache.put(known('e', 1));
    expect(left()).toEqual(['c', 'd', 'e']);
  });

  it('uses nothing without asking for a while where more changes are told than it can keep', () => {
    const cache = started();
    const idOf = (n: number) => `key_${String(n).padStart(16, '0')}`;
    for (let n = 0; n <= 100_000; n += 1) cache.change(idOf(n), 1, 5_000);
    expect(cache.eraAt(10_000)).toBeNull();
    expect(cache.eraAt(5_000 + 600_000)).toBe(1);
  });
});

describe('RecentTexts', () => {
  it('finds a text for the scopes that it was let through for, until it forgets', () => {
    const [texts, one] = [new RecentTexts(), known('a', 1)];
    for (let i = 0; i < 9; i += 1) letThrough(texts, one, [`reports:read${i}`]);
    letThrough(texts, one, ['reports:read']);
    expect(texts.find('text', ['reports:read'], 4_600)).toMatchObject({ row: { keyId } });
    expect(texts.find('other', ['reports:read'], 4_600)).toBeNull();
    expect(texts.find('text', ['reports:read', 'reports:read8'], 4_600)).toBeNull();
    expect(texts.find('text', { anyOf: ['reports:read'] }, 4_600)).toBeNull();
    texts.forget();
    expect(texts.find('text', ['reports:read'], 4_600)).toBeNull();
  });

  it('takes no refusal, and no key whose limits or address count', () => {
    const texts = new RecentTexts();
    const refused = known('a', 1);
    letThrough(texts, refused, ['reports:read'], { code: 'INSUFFICIENT_SCOPE' });
    const limited = { ...lease, hasQuota: true };
    const addressed = { ...lease, ipAllowlist: ['10.0.0.0/8'] };
    for (const one of [limited, addressed])
      letThrough(texts, known('a', 1, 1, { given: one }), ['reports:read']);
    expect(texts.find('text', ['reports:read'], 4_600)).toBeNull();
  });

  it('takes so many texts and no more, and none that a header cannot present as one key', () => {
    const texts = new RecentTexts();
    const odd = ['one,other', '', ' ', 'x'.repeat(1_025)];
    for (const text of odd) letThrough(texts, known('a', 1), ['reports:read'], { text });
    for (let i = 0; i <= 10_000; i += 1)
      letThrough(texts, known(`${i}`, 1), ['reports:read'], { text: `text${i}` });
    const isFound = (text: string) => texts.find(text, ['reports:read'], 4_600) !== null;
    expect([...odd, 'text0', 'text9999', 'text10000'].map(isFound)).toEqual([
      ...odd.map(() => false),
      true,
      true,
      false,
    ]);
  });

  it('keeps a text for ten seconds and no longer', () => {
    import.meta.jest.useFakeTimers();
    const texts = new RecentTexts();
    try {
      texts.start();
      letThrough(texts, known('a', 1), ['reports:read']);
      import.meta.jest.advanceTimersByTime(9_999);
      expect(texts.find('text', ['reports:read'], 4_600)).not.toBeNull();
      import.meta.jest.advanceTimersByTime(1);
      expect(texts.find('text', ['reports:read'], 4_600)).toBeNull();
    } finally {
      texts.stop();
      import.meta.jest.useRealTimers();
    }
  });

  it('keeps no text once it is stopped: nobody would take it away', () => {
    const texts = new RecentTexts();
    texts.start();
    texts.stop();
    letThrough(texts, known('a', 1), ['reports:read']);
    expect(texts.find('text', ['reports:read'], 4_600)).toBeNull();
  });

  it('shares answers of which nothing at all can be changed', () => {
    const told = { ...lease, metadata: { owner: { team: 'one' } } };
    const [texts, one] = [new RecentTexts(), known('a', 1, 1, { given: told })];
    one.secret.validUntilMs = NOW_MS + 60_000;
    letThrough(texts, one, ['reports:read']);
    for (const nowMs of [4_600, 20_000]) {
      const answer = answerAt(texts.find('text', ['reports:read'], nowMs)!, nowMs);
      expect(answer.headers).toHaveProperty('Sunset');
      expect(changeable(answer)).toEqual([]);
    }
  });

  it('tells how many seconds are left at each moment, in verdicts that nobody can change', () => {
    const [texts, one] = [new RecentTexts(), known('a', 1)];
    letThrough(texts, one, ['reports:read']);
    const answer = (nowMs: number) => {
      const found = texts.find('text', ['reports:read'], nowMs);
      return found && answerAt(found, nowMs);
    };
    // kept at 4,500 of 60,000
    const atMs = [4_999, 5_000, 5_001, 6_000, 6_001, 59_000, 59_001, 59_999];
    const told = atMs.map((nowMs) => answer(nowMs)!);
    expect(told.map(({ verdict }) => verdict.decision.ttlSeconds)).toEqual([
      55, 55, 54, 54, 53, 1, 0, 0,
    ]);
    for (const one of told) {
      expect([one, one.verdict, one.verdict.decision].every(Object.isFrozen)).toBe(true);
      expect({ ...one.verdict, decision: null }).toEqual({ ...told[0]!.verdict, decision: null });
    }
    expect(answer(60_000)).toBeNull();
  });

  it('ends at the next time that the rules look at, whatever was told anew before', () => {
    const texts = new RecentTexts();
    const begins = { ...lease, notBefore: new Date(NOW_MS - 1_000).toISOString() };
    const one = known('a', 1, 1, { given: begins });
    one.record.expiresAtMs = NOW_MS + 10_250;
    letThrough(texts, one, ['reports:read']);
    const found = (nowMs: number) => texts.find('text', ['reports:read'], nowMs);
    answerAt(found(9_000)!, 9_000);
    expect([found(14_749), found(14_750)]).toEqual([expect.anything(), null]);
  });
});

describe('FeedClock', () => {
  it('takes what happened there to be as early as it can have been, whatever their calendar says', () => {
    const clock = new FeedClock();
    expect(clock.ownOf(1_000, 500)).toBe(-Infinity);
    const theirs = Date.parse('2050-01-01T00:00:00Z');
    clock.hello(100, theirs);
    expect(clock.ownOf(theirs, 400)).toBe(100);
    expect(clock.ownOf(theirs + 250, 400)).toBe(350);
    // a clock that jumps ahead proves nothing of what is still to come
    expect(clock.ownOf(theirs + 3_600_000, 400)).toBe(400);
    expect(clock.theirsAt(600)).toBe(theirs + 500);
  });
});

describe('EventCutter', () => {
  it('finds the same events however the stream is cut', () => {
    const text = 'event: hello\ndata: {"now":1}\n\nevent: change\nid: 7\ndata: {"seq":7}\n\n';
    const whole = new EventCutter().feed(text);
    expect(whole).toEqual([
      { name: 'hello', id: null, data: '{"now":1}' },
      { name: 'change', id: '7', data: '{"seq":7}' },
    ]);
    for (let at = 0; at <= text.length; at += 1) {
      const cutter = new EventCutter();
      expect([...cutter.feed(text.slice(0, at)), ...cutter.feed(text.slice(at))]).toEqual(whole);
    }
  });
});

describe('Terms', () => {
  it('give no grace before they are told, for sensitive scopes, and after a change until told anew', () => {
    const terms = new Terms(30);
    expect(terms.graceMsFor(['reports:read'])).toBe(0);
    terms.learn(lease, 0);
    expect(terms.graceMsFor(['reports:read'])).toBe(30_000);
    for (const scopes of [['reports:delete'], ['reports:*'], ['reports:read', 'reports:delete']])
      expect(terms.graceMsFor(scopes)).toBe(0);
    expect(terms.graceMsFor({ anyOf: ['reports:read', 'reports:delete'] })).toBe(0);
    terms.forget(10_000);
    terms.learn(lease, 10_500);
    expect(terms.graceMsFor(['reports:read'])).toBe(0);
    terms.learn({ ...lease, graceSeconds: 5 }, 11_000);
    expect(terms.graceMsFor(['reports:read'])).toBe(5_000);
  });
});

describe('Breaker', () => {
  it('opens after five failures in a row, lets one probe through after a pause, and the pauses grow', () => {
    let nowMs = 0;
    const breaker = new Breaker({ nowMs: () => nowMs, random: () => 1 });
    for (let i = 0; i < 4; i += 1) breaker.fail();
    breaker.succeed();
    for (let i = 0; i < 5; i += 1) breaker.fail();
    expect([breaker.isOpen, breaker.mayAsk()]).toEqual([true, false]);
    nowMs = 250;
    expect(breaker.mayAsk()).toBe(true);
    breaker.begin();
    expect(breaker.mayAsk()).toBe(false);
    breaker.fail();
    nowMs = 500;
    expect(breaker.mayAsk()).toBe(false);
    nowMs = 750;
    breaker.begin();
    breaker.succeed();
    expect([breaker.isOpen, breaker.mayAsk()]).toEqual([false, true]);
  });
});
