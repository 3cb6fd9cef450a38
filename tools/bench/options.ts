import { parseArgs } from 'node:util';

const MODES = ['growth', 'replicas', 'guard', 'flood', 'soak'] as const;
const SLICE_MS = 1_000;
/** So long that counts of usage are folded once in each slice: in a shorter one they are or are not, and that decides its p99. */
const FLOOD_SLICE_MS = 20_000;
/** What is measured instead of the hot path. */
export type Mode = (typeof MODES)[number];

/** What a run of the bench measures, and for how long. */
export interface BenchOptions {
  rounds: number;
  sliceMs: number;
  warmUpMs: number;
  connections: number;
  /** Keys that the load is spread over. */
  keys: number;
  /** Only the pairs of this path. */
  only: 'verify' | 'miss' | 'batch' | null;
  /** Null for the hot path. */
  mode: Mode | null;
  /** How many keys are many where growth is measured. */
  many: number;
  /** Minutes at full load to watch memory for. */
  soakMinutes: number;
  /** Folder for CPU profiles of the key service. */
  profileDir: string | null;
  /** File for the results. */
  out: string;
  /** Whether a goal that is missed is a failure. */
  strict: boolean;
}

export const USAGE = `npm run bench -- [options]
  --rounds N       interleaved rounds to measure (15)
  --slice MS       length of one slice of load (1000; 20000 with --flood)
  --warm-up MS     load on each target before the first round, thrown away (5000)
  --connections N  keep-alive connections of the load generator (64)
  --keys N         keys that the load is spread over (10000)
  --only PATH      verify, miss or batch alone
  --growth         many keys against 1,000: verify, store miss, list pages
  --many N         how many those are (1000000)
  --replicas       two processes on two cores against one, ours and the bare ones
  --guard          the key guard: a check, a guarded route, a revocation on its way
  --flood          others during 500 wrong secrets a second on imported slow hashes
  --soak MINUTES   memory at full load
  --profile DIR    write a CPU profile of the key service there
  --out FILE       where the results go (bench-results.json, bench-results-growth.json and so on)
  --strict         end with 1 where a goal is missed`;

/** @throws Error naming the argument that is wrong */
export function readOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '15' },
      slice: { type: 'string' },
      'warm-up': { type: 'string', default: '5000' },
      connections: { type: 'string', default: '64' },
      keys: { type: 'string', default: '10000' },
      only: { type: 'string' },
      growth: { type: 'boolean', default: false },
      many: { type: 'string', default: '1000000' },
      replicas: { type: 'boolean', default: false },
      guard: { type: 'boolean', default: false },
      flood: { type: 'boolean', default: false },
      soak: { type: 'string' },
      profile: { type: 'string' },
      out: { type: 'string' },
      strict: { type: 'boolean', default: false },
    },
  });
  const mode = modeIn(values);
  return {
    rounds: positive('rounds', values.rounds),
    sliceMs: positive(
      'slice',
      values.slice ?? String(mode === 'flood' ? FLOOD_SLICE_MS : SLICE_MS),
    ),
    warmUpMs: positive('warm-up', values['warm-up']),
    connections: positive('connections', values.connections),
    keys: positive('keys', values.keys),
    only: pathIn(values.only),
    mode,
    many: positive('many', values.many),
    soakMinutes: values.soak === undefined ? 0 : positive('soak', values.soak),
    profileDir: values.profile ?? null,
    out: values.out ?? `bench-results${mode === null ? '' : `-${mode}`}.json`,
    strict: values.strict,
  };
}

function modeIn(values: Partial<Record<Mode, string | boolean>>): Mode | null {
  const wanted = MODES.filter((mode) => values[mode] !== undefined && values[mode] !== false);
  if (wanted.length > 1) throw new Error(`Only one of --${wanted.join(', --')} at a time`);
  return wanted[0] ?? null;
}

function pathIn(text: string | undefined): BenchOptions['only'] {
  if (text === undefined) return null;
  if (text === 'verify' || text === 'miss' || text === 'batch') return text;
  throw new Error('--only takes verify, miss or batch');
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} must be a number above 0`);
}
