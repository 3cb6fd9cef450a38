import type { AddressInfo } from 'node:net';
import type { IssuedKey, Verdict } from '#contracts';
import {
  createKeyGuard,
  VerificationUnavailable,
  type KeyGuardCore,
  type KeyGuardOptions,
  type KeyQuestion,
} from '#key-guard';
import { startReplicas, type Replicas } from '../../../apps/key-service/src/testing/replicas.js';
import { seed, type Seed } from '../../../apps/key-service/src/testing/seed.js';
import { PATIENCE_MS, RECOVERY_MS } from '../../support/patience.js';
import { startLink, type Link } from './link.js';

/** A guard of `service-a`, and its ways to the key services. */
export interface TestGuard {
  core: KeyGuardCore;
  links: readonly Link[];
  /** The code of the verdict, or `503`. */
  codeOf: (question: KeyQuestion) => Promise<string>;
  /** Asks until the guard lets the key pass without asking anybody. */
  warm: (question: KeyQuestion) => Promise<void>;
}

/** For guards of tests in which no key service is slow: a machine that is busy with something else is late, which is not looked at there. */
export const PATIENT = { timeoutMs: 5_000 };

/** Key services on one PostgreSQL and Redis, and guards in front of them. */
export interface GuardWorld {
  replicas: Replicas;
  seeded: Seed;
  /** Starts one more guard, and waits until its feed is proven. */
  guard: (options?: Partial<KeyGuardOptions>) => Promise<TestGuard>;
  /** A change of an admin that must succeed. */
  manage: (method: 'post' | 'patch', path: string, body?: object) => Promise<void>;
  /** Mends all links of all guards. */
  heal: () => void;
  stop: () => Promise<void>;
}

/** Starts it. */
export async function startGuardWorld(count = 2): Promise<GuardWorld> {
  const replicas = await startReplicas(count);
  const seeded = await seed(replicas);
  const token = await replicas.issuer.service('service-a', 'keys:verify');
  const guards: TestGuard[] = [];
  return {
    replicas,
    seeded,
    guard: async (options = {}) => {
      const links = await Promise.all(replicas.apps.map((app) => startLink(urlOf(app))));
      const urls = links.map((one) => one.url);
      const core = createKeyGuard({
        urls,
        token: () => Promise.resolve(token),
        service: 'service-a',
        ...options,
      });
      const guard = guardOf(core, links);
      guards.push(guard);
      if (core.state().mode === 'cached') await until('a proven feed', () => core.state().isProven);
      return guard;
    },
    manage: async (method, path, body) => {
      const answer = await replicas
        .call(method, path, seeded.admin)
        .set('if-match', '*')
        .send(body ?? {});
      if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    },
    heal: () => guards.flatMap((one) => one.links).forEach(healLink),
    stop: async () => {
      guards.flatMap((one) => one.links).forEach(healLink);
      await Promise.all(guards.map((one) => one.core.close()));
      await Promise.all(guards.flatMap((one) => one.links).map((link) => link.close()));
      await replicas.stop();
    },
  };
}

/** What to ask about a key that was issued for tests. */
export function questionOn({ secret }: IssuedKey, more: Partial<KeyQuestion> = {}): KeyQuestion {
  return { key: secret, scopes: ['reports:read'], clientIp: '10.0.0.1', ...more };
}

/** Whether a guard answers by itself. */
export function isOwn(answer: Verdict | Promise<Verdict>): answer is Verdict {
  return !(answer instanceof Promise);
}

/** Waits until something is so; a minute at most, unless it is said that it must be so sooner. */
export async function until(
  what: string,
  isSo: () => Promise<boolean> | boolean,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function guardOf(core: KeyGuardCore, links: readonly Link[]): TestGuard {
  return {
    core,
    links,
    codeOf: async (question) => {
      try {
        return (await core.verify(question)).code;
      } catch (error) {
        if (error instanceof VerificationUnavailable) return '503';
        throw error;
      }
    },
    warm: (question) =>
      until(
        'a verdict of the guard’s own',
        async () => {
          const answer = core.verify(question);
          if (isOwn(answer)) return answer.valid;
          await answer.catch(() => null);
          return false;
        },
        RECOVERY_MS,
      ),
  };
}

function healLink(link: Link): void {
  link.cut(false);
  link.holdFeed(false);
  link.holdAnswers(false);
  link.stutter(false);
}

function urlOf(app: Replicas['apps'][number]): string {
  return `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}
