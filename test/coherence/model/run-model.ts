import { Clock } from './clock.js';
import { Replica } from './replica.js';
import type { Rule } from './rules.js';
import { Stores, type Links } from './stores.js';

const REPLICAS = 3;
const CHANGES = 10;
const VERIFICATIONS = 60;
/** Verifications that are asked for soon after a change was confirmed. */
const WATCHERS = 6;
const FAULTS = 8;
const LAST_MS = 1_400;
const END_MS = 1_800;

/** What became of a run. */
export interface ModelRun {
  answers: number;
  confirmed: number;
  /** The first answer that broke the promise, in words. */
  violation: string | null;
}

/**
 * Runs the protocol once, with changes, verifications and faults as a seed decides: messages that take long or get lost, a Redis
 * that forgets, refuses or comes back with what it held before. Each answer is held to the promise: a verification that began
 * after a change was confirmed goes by nothing older.
 *
 * @param without a rule that is left out
 */
export async function runModel(seed: number, without: Rule | null = null): Promise<ModelRun> {
  const clock = new Clock(seed);
  const stores = new Stores(clock, REPLICAS);
  const confirmed: { atMs: number; version: number }[] = [];
  const result: ModelRun = { answers: 0, confirmed: 0, violation: null };
  const judge = {
    answered: (startedMs: number, version: number) => {
      result.answers += 1;
      const before = confirmed.filter(({ atMs }) => atMs < startedMs);
      const oldest = Math.max(0, ...before.map((one) => one.version));
      if (version < oldest)
        result.violation ??= `seed ${seed}: version ${version} at ${clock.now} ms, asked for at ${startedMs}, when ${oldest} was confirmed`;
    },
    confirmed: (version: number) => {
      result.confirmed += 1;
      confirmed.push({ atMs: clock.now, version });
      for (let i = 0; i < WATCHERS; i += 1) clock.after(1 + clock.pick(60), verify);
    },
  };
  const replicas = Array.from(
    { length: REPLICAS },
    (_, number) => new Replica(number, stores, judge, without),
  );
  const any = () => replicas[clock.pick(REPLICAS)]!;
  const verify = () => void any().verify();
  for (const one of replicas) void one.pollForEver();
  for (let i = 0; i < VERIFICATIONS; i += 1) clock.after(clock.pick(LAST_MS), verify);
  for (let i = 0; i < CHANGES; i += 1) clock.after(clock.pick(LAST_MS), () => void any().change());
  for (let i = 0; i < FAULTS; i += 1)
    clock.after(clock.pick(LAST_MS), () => faultsOf(stores)[clock.pick(FAULT_KINDS)]!());
  await clock.run(END_MS, () => result.violation !== null);
  return result;
}

const FAULT_KINDS = 9;

function faultsOf(stores: Stores): (() => void)[] {
  const { clock, held, links } = stores;
  const one = () => [links[clock.pick(REPLICAS)]!];
  const cut = (those: Links[], ways: (keyof Links)[], longestMs: number) => {
    const set = (is: boolean) => those.forEach((link) => ways.forEach((way) => (link[way] = is)));
    set(false);
    clock.after(clock.pick(longestMs), () => set(true));
  };
  return [
    () => Object.assign(held, { entry: null, token: null }),
    () => Object.assign(held, { entry: null }),
    () => stores.dump(),
    () => stores.restart(),
    () => cut(one(), ['database'], 900),
    () => cut(one(), ['writes'], 200),
    () => cut(one(), ['reads', 'writes'], 200),
    () => cut(links, ['writes'], 150),
    () => cut(links, ['database'], 150),
  ];
}
