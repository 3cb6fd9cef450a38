import type { IssuedKey } from '#contracts';
import { codeOf, type World } from './world.js';

/** What was found while keys were revoked under load. Times in milliseconds. */
export interface RevokeFigures {
  revokes: number;
  confirmed: number;
  /** Verifications altogether, and those of a key that started after its revoke had returned. */
  verifications: number;
  asked: number;
  /** Of those, the ones that were VALID. */
  stale: number;
  /** Answers that refused a live key, or were neither a verdict nor 503. */
  wrong: number;
  /** Answers 503: nobody could decide in time, as on a machine that is too busy. */
  unavailable: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  perSecond: number;
}

interface Subject extends IssuedKey {
  /** When its revoke had returned, confirmed. */
  deadMs: number;
  isBeingRevoked: boolean;
}

/** Keys that are asked about at a time: half of them dead, half of them next. */
const WINDOW = 32;
/** Few enough at a time that none has to wait for a connection for too long. */
const BATCH = 15;

/** Revokes keys one after the other, each at another replica, while validators ask all replicas about those around it. */
export async function revokeUnderLoad(
  world: World,
  { revokes, validators }: { revokes: number; validators: number },
): Promise<RevokeFigures> {
  const subjects: Subject[] = [];
  const figures = { confirmed: 0, verifications: 0, asked: 0, stale: 0, wrong: 0, unavailable: 0 };
  let next = 0;
  const asking = { isDone: false };
  const more = async (): Promise<void> => {
    const count = Math.min(BATCH, revokes - subjects.length);
    const made = await Promise.all(Array.from({ length: count }, (_, i) => world.issue({}, i % 3)));
    subjects.push(...made.map((one) => ({ ...one, deadMs: Infinity, isBeingRevoked: false })));
  };
  const validate = async (number: number): Promise<void> => {
    for (let turn = number; !asking.isDone; turn += 1) {
      const subject = subjects[pickAround(next, subjects.length)]!;
      const { isBeingRevoked } = subject;
      const answer = await world.verify(turn % 3, subject.secret);
      const code = codeOf(answer);
      const isAfter = answer.startedMs > subject.deadMs;
      figures.verifications += 1;
      if (isAfter) figures.asked += 1;
      if (isAfter && code === 'VALID') figures.stale += 1;
      if (code === 503) figures.unavailable += 1;
      const isMissing = !['VALID', 'REVOKED', 503].includes(code);
      const isTooEarly = code === 'REVOKED' && !isBeingRevoked && !subject.isBeingRevoked;
      if (isMissing || isTooEarly) figures.wrong += 1;
    }
  };
  while (subjects.length < Math.min(revokes, WINDOW)) await more();
  const validating = Array.from({ length: validators }, (_, number) => validate(number));
  const tookMs: number[] = [];
  const startedMs = performance.now();
  for (; next < revokes; next += 1) {
    while (next + WINDOW > subjects.length && subjects.length < revokes) await more();
    const subject = subjects[next]!;
    subject.isBeingRevoked = true;
    const answer = await world.revoke(next % 3, subject.key.id);
    tookMs.push(answer.endedMs - answer.startedMs);
    if (answer.status === 200 && answer.body.propagation?.confirmed === true) {
      subject.deadMs = answer.endedMs;
      figures.confirmed += 1;
    }
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  await new Promise((resolve) => setTimeout(resolve, 500));
  asking.isDone = true;
  await Promise.all(validating);
  return {
    revokes,
    ...figures,
    ...spreadOf(tookMs),
    perSecond: Math.round(figures.verifications / seconds),
  };
}

function pickAround(next: number, count: number): number {
  const place = next - WINDOW / 2 + Math.floor(Math.random() * WINDOW);
  return Math.max(0, Math.min(count - 1, place));
}

function spreadOf(tookMs: number[]): { p50Ms: number; p99Ms: number; maxMs: number } {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number) =>
    Math.round((sorted[Math.ceil(sorted.length * share) - 1] ?? 0) * 10) / 10;
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
