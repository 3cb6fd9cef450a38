import type { ScopeRequirement, Verdict } from '#contracts';
import { Batcher } from './batcher.js';
import { CachedVerifier } from './cached-verifier.js';
import {
  checkRequest,
  type Decider,
  type GuardAnswer,
  type GuardedRequest,
  type Verify,
} from './check.js';
import { Faults } from './faults.js';
import { Feed } from './feed.js';
import { FreeKeys } from './free-keys.js';
import { KeyCache } from './key-cache.js';
import { KeyService } from './key-service.js';
import { readOptions, type GuardSettings, type KeyGuardOptions } from './options.js';
import type { KeyQuestion } from './question.js';
import { RecentTexts } from './recent-texts.js';
import { Terms } from './terms.js';
import { UsageReport } from './usage-report.js';

/** How a guard is doing, for people and health checks. */
export interface GuardState {
  mode: 'cached' | 'strict';
  /** Whether verdicts may be used again now: the change feed is proven. Never in strict mode. */
  isProven: boolean;
  /** Keys that are remembered. */
  known: number;
  /** Whether every replica failed so often that it is only probed. */
  isBroken: boolean;
}

/** The guard of a service, whatever framework that is made with. */
export interface KeyGuardCore {
  /** What to do with a request; not a promise where the key is known, so that the request need not wait a turn. Never rejects. */
  check(request: GuardedRequest, scopes: ScopeRequirement): GuardAnswer | Promise<GuardAnswer>;
  /** The bare verdict. @throws VerificationUnavailable when nobody can decide; that is never a verdict on the key */
  verify(question: KeyQuestion): Verdict | Promise<Verdict>;
  state(): GuardState;
  /** Ends the feed, reports what is left to report, closes the connections. */
  close(): Promise<void>;
}

/**
 * Starts a guard. Nothing of the key service need be there: until it is, every answer is 503.
 *
 * @throws Error at once, naming each option that is missing, wrong or unknown
 */
export function createKeyGuard(options: KeyGuardOptions): KeyGuardCore {
  const settings = readOptions(options);
  const { service, environment, mode } = settings;
  const faults = new Faults(settings.onFault);
  const keyService = new KeyService(settings, faults);
  const batcher = new Batcher(
    keyService,
    { service, environment },
    new FreeKeys(settings.cacheSize),
  );
  const parts = mode === 'cached' ? startCached(settings, { keyService, batcher, faults }) : null;
  const askEveryTime: Verify = async (question) =>
    (await batcher.ask({ question, permits: null })).verdict;
  const decider: Decider =
    parts === null
      ? { verify: askEveryTime }
      : {
          verify: (question) => parts.verifier.verify(question),
          recall: (key, scopes) => parts.verifier.recall(key, scopes),
        };
  return {
    check: (request, scopes) => checkRequest(decider, request, scopes),
    verify: decider.verify,
    state: () => ({
      mode,
      isProven: parts?.verifier.isProvenNow ?? false,
      known: parts?.cache.size ?? 0,
      isBroken: keyService.replicas.every((one) => one.breaker.isOpen),
    }),
    close: async () => {
      parts?.feed.stop();
      parts?.texts.stop();
      await parts?.usage.stop();
      keyService.close();
    },
  };
}

/** A guard that decides by a function of one's own instead of asking the key service, for services that manage their own keys. */
export function createOwnGuard(verify: Verify): KeyGuardCore {
  return {
    check: (request, scopes) => checkRequest({ verify }, request, scopes),
    verify,
    state: () => ({ mode: 'strict', isProven: false, known: 0, isBroken: false }),
    close: async () => undefined,
  };
}

function startCached(
  settings: GuardSettings,
  { keyService, batcher, faults }: { keyService: KeyService; batcher: Batcher; faults: Faults },
) {
  const cache = new KeyCache(settings.cacheSize);
  const texts = new RecentTexts();
  const terms = new Terms(settings.graceSeconds);
  const feed = new Feed(settings, {
    change: (keyId, version) => cache.change(keyId, version, performance.now()),
    policy: () => terms.forget(performance.now()),
    hello: () => texts.forget(),
    restart: () => cache.restart(performance.now()),
  });
  const usage = new UsageReport({
    keyService,
    theirNowMs: () => feed.clock.theirsAt(performance.now()),
    onFault: (error) => faults.tell(error),
  });
  const verifier = new CachedVerifier({ settings, batcher, cache, feed, terms, usage, texts });
  for (const part of [feed, usage, texts]) part.start();
  return { cache, feed, usage, texts, verifier };
}
