import type { IssuedKey, UsageReport } from '#contracts';
import { Usage } from '../../apps/key-service/src/usage/usage.js';
import {
  isOwn,
  PATIENT,
  questionOn,
  startGuardWorld,
  until,
  type GuardWorld,
  type TestGuard,
} from './support/guards.js';

let world: GuardWorld;
let guards: TestGuard[];

beforeAll(async () => {
  world = await startGuardWorld(2);
  guards = await Promise.all([1, 2, 3].map(() => world.guard(PATIENT)));
  const free = questionOn(await world.seeded.issue());
  await Promise.all(guards.map((one) => one.warm(free)));
});
afterAll(() => world?.stop());

/** Asks through the guards in turn, `atOnce` at a time. @returns how often the key passed */
async function flood(question: ReturnType<typeof questionOn>, count: number, atOnce: number) {
  let passed = 0;
  for (let i = 0; i < count; i += atOnce) {
    const codes = await Promise.all(
      Array.from({ length: atOnce }, (_, n) => guards[(i + n) % 3]!.codeOf(question)),
    );
    passed += codes.filter((one) => one === 'VALID').length;
    expect(codes.every((one) => ['VALID', 'RATE_LIMITED', 'QUOTA_EXCEEDED'].includes(one))).toBe(
      true,
    );
  }
  return passed;
}

describe('three guards', () => {
  test.each([
    [5, 300, 6],
    [100, 900, 30],
    [1_000, 3_000, 60],
  ])('let no more than the %i of a limit pass', async (limit, count, atOnce) => {
    const rateLimits = [{ name: 'a', limit, windowSeconds: 86_400 }];
    const issued = await world.seeded.issue({ rateLimits });
    const passed = await flood(questionOn(issued), count, atOnce);
    expect(passed).toBeLessThanOrEqual(limit);
    // hoarding must not starve anybody: what is lost with permits is little
    expect(passed).toBeGreaterThanOrEqual(limit * 0.4);
  });

  test('let no more pass than flows back', async () => {
    const issued = await world.seeded.issue({
      rateLimits: [{ name: 'a', limit: 50, windowSeconds: 2 }],
    });
    const startedMs = performance.now();
    let passed = 0;
    while (performance.now() - startedMs < 3_000) {
      passed += await flood(questionOn(issued), 30, 30);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const windows = (performance.now() - startedMs) / 2_000;
    expect(passed).toBeLessThanOrEqual(50 * (1 + windows));
    expect(passed).toBeGreaterThan(50);
  });

  test('let exactly the rest of a quota pass, whatever was leased', async () => {
    const issued = await world.seeded.issue({ quota: { limit: 120 } });
    const passed = await flood(questionOn(issued), 600, 12);
    expect(passed).toBeLessThanOrEqual(120);
    expect(passed).toBeGreaterThanOrEqual(100);
  });
});

test('tells of its limits as the key service would', async () => {
  const issued = await world.seeded.issue({
    rateLimits: [{ name: 'a', limit: 1_000, windowSeconds: 3_600 }],
  });
  const guard = guards[0]!;
  const answers: number[] = [];
  for (let i = 0; i < 60; i += 1) {
    const { secret } = issued;
    const request = { headers: { 'x-api-key': secret }, ip: '10.0.0.1' };
    const answer = await guard.core.check(request, ['reports:read']);
    const [, remaining] = /^"a";r=(\d+);t=\d+$/.exec(answer.headers['RateLimit'] ?? '')!;
    expect(answer.headers['RateLimit-Policy']).toBe('"a";q=1000');
    answers.push(Number(remaining));
  }
  expect(answers[0]).toBe(999);
  expect(answers.every((one, i) => i === 0 || one <= answers[i - 1]! + 1)).toBe(true);
  expect(answers.at(-1)).toBeGreaterThanOrEqual(930);
});

/** How often a key was presented, by outcome. */
async function usesOf({ key }: IssuedKey): Promise<Record<string, number>> {
  await Promise.all(world.replicas.apps.map((app) => app.get(Usage).flush()));
  const path = `/v1/usage?keyId=${key.id}&granularity=day`;
  const { body } = await world.replicas.call('get', path, world.seeded.admin);
  const uses: Record<string, number> = {};
  for (const { counts } of (body as UsageReport).data)
    for (const [code, count] of Object.entries(counts)) uses[code] = (uses[code] ?? 0) + count;
  return uses;
}

test('every check is counted once', async () => {
  const guard = await world.guard(PATIENT);
  const issued = await world.seeded.issue();
  const question = questionOn(issued);
  await Promise.all(Array.from({ length: 100 }, () => guard.codeOf(question)));
  let answer;
  let warming = 0;
  do {
    answer = guard.core.verify(question);
    warming += 1;
    await answer;
  } while (!isOwn(answer));
  let own = 0;
  for (let i = 0; i < 500; i += 1) own += isOwn(guard.core.verify(question)) ? 1 : 0;
  expect(own).toBe(500);
  for (let i = 0; i < 20; i += 1)
    expect(await guard.codeOf({ ...question, scopes: ['reports:write'] })).toBe(
      'INSUFFICIENT_SCOPE',
    );
  await guard.core.close();
  expect(await usesOf(issued)).toEqual({ VALID: 600 + warming, INSUFFICIENT_SCOPE: 20 });
});

test('a question that has to be repeated, as its answer is lost, is counted once', async () => {
  const guard = await world.guard(PATIENT);
  const [first] = guard.links;
  const issued = await world.seeded.issue();
  first!.holdAnswers(true);
  const code = guard.codeOf(questionOn(issued));
  await until('the answer', () => first!.held() > 0);
  first!.cut(true);
  expect(await code).toBe('VALID');
  world.heal();
  await guard.core.close();
  expect(await usesOf(issued)).toEqual({ VALID: 1 });
});

test('a question that is asked twice in strict mode, as the first answer is late, takes one unit of a limit and may be counted as two uses', async () => {
  const guard = await world.guard({ mode: 'strict', timeoutMs: 2_000 });
  const rateLimits = [{ name: 'a', limit: 1_000, windowSeconds: 86_400 }];
  const [free, limited] = [await world.seeded.issue(), await world.seeded.issue({ rateLimits })];
  for (const one of [free, limited]) expect(await guard.codeOf(questionOn(one))).toBe('VALID');
  guard.links[0]!.holdAnswers(true);
  // nobody is asked a second time about what takes something
  expect(await guard.codeOf(questionOn(limited))).toBe('503');
  expect(await guard.codeOf(questionOn(free))).toBe('VALID');
  expect(guard.links.map((one) => one.asked.length)).toEqual([4, 1]);
  world.heal();
  const verdict = await guard.core.verify(questionOn(limited));
  expect(verdict.rateLimits?.[0]?.remaining).toBe(997);
  expect(await usesOf(limited)).toEqual({ VALID: 3 });
  expect(await usesOf(free)).toEqual({ VALID: 3 });
});

test('500 requests at once with a key that nobody knows yet are one question', async () => {
  const guard = guards[1]!;
  const question = questionOn(await world.seeded.issue());
  const count = () => guard.links.reduce((sum, link) => sum + link.asked.length, 0);
  await until('no report under way', () => guard.core.state().isProven);
  const before = count();
  const asked = Array.from({ length: 500 }, (_, i) =>
    guard.codeOf({ ...question, ...(i % 2 === 1 && { scopes: ['reports:write'] }) }),
  );
  const codes = await Promise.all(asked);
  const own = guard.links.flatMap((link) => link.asked).slice(before);
  expect(own.filter((path) => path.startsWith('/v1/keys/verify')).length).toBeLessThanOrEqual(1);
  expect(codes.map((one) => one === 'VALID')).toEqual(codes.map((_, i) => i % 2 === 0));
});
