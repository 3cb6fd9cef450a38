import { hash } from 'node:crypto';
import * as fc from 'fast-check';
import type { ScopeRequirement, UsageBatch, UsageEntry } from '#contracts';
import type { Batcher } from './batcher.js';
import { CachedVerifier } from './cached-verifier.js';
import { checkRequest, type GuardAnswer, type GuardedRequest } from './check.js';
import { FeedClock } from './feed-clock.js';
import { KeyCache } from './key-cache.js';
import type { KeyService } from './key-service.js';
import { knownKeyOf } from './known-key.js';
import type { GuardSettings } from './options.js';
import { RecentTexts } from './recent-texts.js';
import { Terms } from './terms.js';
import { UsageReport } from './usage-report.js';

const THEIR_START_MS = Date.parse('2027-01-31T12:00:00Z');
const KEYS = ['kw_live_a', 'kw_live_b'];
const SCOPES: ScopeRequirement[] = [
  ['reports:read'],
  ['reports:write'],
  ['reports:read', 'reports:write'],
  [],
  { anyOf: ['reports:read', 'reports:delete'] },
];
const settings = { service: 'reports', environment: 'live', maxStalenessMs: 2_000, timeoutMs: 300 };

/** What is learnt of a key; times are from now on, null for none. */
interface Told {
  key: string;
  isNew: boolean;
  scopes: string[];
  environment: 'live' | 'test';
  ipAllowlist: string[];
  hasQuota: boolean;
  lifeMs: number;
  notBeforeIn: number | null;
  expiresIn: number | null;
  endsIn: number | null;
}

type Step =
  | { does: 'learn'; told: Told }
  | {
      does: 'check';
      key: string;
      scopes: ScopeRequirement;
      ip: string | undefined;
      times: number;
      bearer: boolean;
    }
  | { does: 'wait'; ms: number }
  | { does: EventName; n: number };
type EventName = 'beat' | 'change' | 'hello' | 'reset' | 'report';

const inMs = fc.option(fc.integer({ min: -100, max: 4_000 }), { freq: 2 });
const aKey = fc.constantFrom(...KEYS);
const usually = <T>(usual: T, other: T) =>
  fc.oneof({ weight: 7, arbitrary: fc.constant(usual) }, fc.constant(other));
const someTold: fc.Arbitrary<Told> = fc.record({
  key: aKey,
  isNew: fc.boolean(),
  scopes: fc.constantFrom(['reports:read'], ['reports:*'], ['reports:write', 'reports:read']),
  environment: usually<'live' | 'test'>('live', 'test'),
  ipAllowlist: usually<string[]>([], ['10.0.0.0/8']),
  hasQuota: usually(false, true),
  lifeMs: fc.integer({ min: 500, max: 60_000 }),
  notBeforeIn: usually<number | null>(null, 1_500),
  expiresIn: inMs,
  endsIn: usually<number | null>(null, 3_000),
});
const someCheck: fc.Arbitrary<Step> = fc.record({
  does: fc.constant('check' as const),
  key: aKey,
  scopes: fc.constantFrom(...SCOPES),
  ip: fc.constantFrom('10.1.2.3', '203.0.113.9', undefined),
  times: fc.integer({ min: 1, max: 3 }),
  bearer: usually(false, true),
});
const someWait: fc.Arbitrary<Step> = fc
  .oneof(
    fc.integer({ min: 1, max: 40 }),
    fc.integer({ min: 1, max: 2_000 }),
    fc.constantFrom(5_000, 60_000),
  )
  .map((ms) => ({ does: 'wait' as const, ms }));
const someEvent = (does: EventName) =>
  fc.integer({ min: -9_000, max: 9_000 }).map((n): Step => ({ does, n }));
const someSteps = fc.array(
  fc.oneof(
    { weight: 24, arbitrary: someCheck },
    { weight: 8, arbitrary: someWait },
    { weight: 12, arbitrary: someEvent('beat') },
    { weight: 6, arbitrary: someTold.map((told): Step => ({ does: 'learn', told })) },
    { weight: 1, arbitrary: someEvent('change') },
    { weight: 1, arbitrary: someEvent('hello') },
    { weight: 1, arbitrary: someEvent('reset') },
    { weight: 1, arbitrary: someEvent('report') },
  ),
  { minLength: 40, maxLength: 80 },
);

const digestOf = (key: string) => hash('sha256', key, 'binary');
const keyIdOf = (key: string) => `key_${key}`;

/** The core of a guard that is told by hand what its key service would tell. */
class Guard {
  readonly cache = new KeyCache(10);
  readonly texts = new RecentTexts();
  /** What it answered, null where it asked, and what it reported. */
  readonly told: (GuardAnswer | UsageEntry | null)[] = [];
  recalled = 0;
  readonly usage: UsageReport;
  private readonly verifier: CachedVerifier;

  constructor(
    private readonly feed: { clock: FeedClock; provenAtMs: number },
    private readonly mayRecall: boolean,
  ) {
    this.usage = new UsageReport({
      keyService: {
        report: ({ body }: { body: string }) => {
          this.told.push(...(JSON.parse(body) as UsageBatch).entries);
          return Promise.resolve(true);
        },
      } as unknown as KeyService,
      theirNowMs: () => feed.clock.theirsAt(performance.now()),
      onFault: () => undefined,
    });
    this.verifier = new CachedVerifier({
      settings: settings as GuardSettings,
      // an answer that is never there: who asks is to ask, in both
      batcher: { ask: () => new Promise(() => undefined) } as unknown as Batcher,
      cache: this.cache,
      feed,
      terms: new Terms(60),
      usage: this.usage,
      texts: this.texts,
    });
    if (mayRecall) this.texts.start();
    else this.texts.stop();
  }

  check(request: GuardedRequest, scopes: ScopeRequirement): void {
    const recall = (key: string, wanted: ScopeRequirement) => {
      const recalled = this.verifier.recall(key, wanted);
      if (recalled !== null) this.recalled += 1;
      return recalled;
    };
    const { verifier } = this;
    const verify = (question: Parameters<CachedVerifier['verify']>[0]) => verifier.verify(question);
    const answer = checkRequest(this.mayRecall ? { verify, recall } : { verify }, request, scopes);
    this.told.push(answer instanceof Promise ? null : answer);
  }

  learn(told: Told, version: number): void {
    const nowMs = performance.now();
    const theirMs = this.feed.clock.theirsAt(nowMs);
    const textOf = (ms: number | null) =>
      ms === null ? null : new Date(theirMs + ms).toISOString();
    const known = knownKeyOf(
      {
        valid: true,
        code: 'VALID',
        keyId: keyIdOf(told.key),
        secretNumber: 1,
        consumer: 'service-b',
        environment: told.environment,
        scopes: [...told.scopes],
        expiresAt: textOf(told.expiresIn),
        ...(told.endsIn !== null && {
          rotation: { superseded: true, validUntil: textOf(told.endsIn)! },
        }),
        decision: { source: 'store', asOf: textOf(0)!, ttlSeconds: 60, version },
      },
      {
        notBefore: textOf(told.notBeforeIn),
        ipAllowlist: told.ipAllowlist,
        rateLimits: [],
        hasQuota: told.hasQuota,
        permits: 2,
        graceSeconds: 60,
        sensitiveScopes: [],
      },
      {
        digest: digestOf(told.key),
        service: settings.service,
        sentAtMs: nowMs,
        lifeMs: told.lifeMs,
        era: this.cache.eraAt(nowMs),
      },
    );
    this.cache.put(known);
  }
}

/** One guard that remembers texts and one that decides each request anew, to which the same happens at the same time. */
class Twins {
  private readonly feed = { clock: new FeedClock(), provenAtMs: -Infinity };
  private readonly versions = new Map(KEYS.map((key) => [key, 1]));
  readonly remembering = new Guard(this.feed, true);
  readonly deciding = new Guard(this.feed, false);
  private readonly both = [this.remembering, this.deciding];

  constructor() {
    this.hello(0);
    for (const one of this.both) one.cache.restart(performance.now());
    this.wait(3_000);
    KEYS.forEach((key, i) => this.learn({ ...USUAL, key, expiresIn: i === 0 ? null : 2_500 }));
  }

  async step(step: Step): Promise<void> {
    if (step.does === 'learn') this.learn(step.told);
    else if (step.does === 'wait') this.wait(step.ms);
    else if (step.does === 'check') this.check(step);
    else await this.event(step);
  }

  /** What both have answered so far, and reported at the end. */
  async end(): Promise<[unknown[], unknown[]]> {
    this.remembering.texts.stop();
    await this.flush();
    return [this.remembering.told, this.deciding.told];
  }

  private check({ key, scopes, ip, times, bearer }: Step & { does: 'check' }): void {
    const headers = { 'x-api-key': key, ...(bearer && { authorization: 'Bearer x' }) };
    for (const one of this.both)
      for (let i = 0; i < times; i += 1) one.check({ headers, ip }, scopes);
  }

  private async event({ does, n }: { does: EventName; n: number }): Promise<void> {
    const nowMs = performance.now();
    if (does === 'report') return this.flush();
    if (does === 'hello') return this.hello(n);
    if (does === 'change') return this.change(KEYS[Math.abs(n) % KEYS.length]!);
    if (does === 'beat')
      this.feed.provenAtMs = Math.max(this.feed.provenAtMs, nowMs - (Math.abs(n) % 500));
    else {
      this.feed.provenAtMs = -Infinity;
      for (const one of this.both) one.cache.restart(nowMs);
    }
  }

  private async flush(): Promise<void> {
    for (const one of this.both) await one.usage.flush();
  }

  private change(key: string): void {
    const version = this.versions.get(key)! + 1;
    this.versions.set(key, version);
    for (const one of this.both) one.cache.change(keyIdOf(key), version, performance.now());
  }

  private learn(told: Told): void {
    const version = this.versions.get(told.key)! + (told.isNew ? 1 : 0);
    this.versions.set(told.key, version);
    for (const one of this.both) one.learn(told, version);
  }

  private hello(aheadMs: number): void {
    const nowMs = performance.now();
    this.feed.clock.hello(nowMs, THEIR_START_MS + nowMs + aheadMs);
    this.remembering.texts.forget();
  }

  private wait(ms: number): void {
    import.meta.jest.advanceTimersByTime(ms);
  }
}

const USUAL: Omit<Told, 'key'> = {
  isNew: false,
  scopes: ['reports:*'],
  environment: 'live',
  ipAllowlist: [],
  hasQuota: false,
  lifeMs: 60_000,
  notBeforeIn: null,
  expiresIn: null,
  endsIn: null,
};

describe('what is recalled', () => {
  beforeEach(() => {
    const doNotFake = ['nextTick', 'queueMicrotask', 'setImmediate'] as const;
    import.meta.jest.useFakeTimers({ doNotFake: [...doNotFake] });
  });
  afterEach(() => void import.meta.jest.useRealTimers());

  it('is answered and counted as if it were decided anew, whatever happens in between', async () => {
    let [recalled, runs] = [0, 0];
    await fc.assert(
      fc.asyncProperty(someSteps, async (steps) => {
        const twins = new Twins();
        for (const step of steps) await twins.step(step);
        const [remembering, deciding] = await twins.end();
        expect(remembering).toEqual(deciding);
        recalled += twins.remembering.recalled;
        runs += 1;
      }),
      { numRuns: 150 },
    );
    // else nothing was shown
    expect(recalled / runs).toBeGreaterThan(3);
  });
});
