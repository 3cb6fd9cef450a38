import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { spreadOf, type Spread } from './slices.js';

/** A ratio that is to be reached: at least, or at most; or what was seen elsewhere, to compare. */
export interface Goal {
  atLeast?: number;
  atMost?: number;
  elsewhere?: number;
}

/** What was measured, round by round. */
export interface Results {
  /** Adds a ratio of one round. */
  ratio: (name: string, value: number, goal?: Goal) => void;
  /** Adds a figure of one round that only means something on this machine. */
  figure: (name: string, value: number, goal?: Goal) => void;
  /** Adds the shares of a core, 0 to 1, that some had during one slice of a target. */
  busy: (target: string, shares: Record<string, number>) => void;
  /** Prints the tables and writes the file. @returns names of what missed its goal, by the medians */
  finish: (out: string, rounds: number) => string[];
}

interface Row {
  values: number[];
  goal: Goal;
}

/** Nothing measured yet. */
export function createResults(): Results {
  const ratios = new Map<string, Row>();
  const figures = new Map<string, Row>();
  const busy = new Map<string, Map<string, Row>>();
  const addTo = (rows: Map<string, Row>) => (name: string, value: number, goal?: Goal) => {
    const row = rows.get(name) ?? { values: [], goal: goal ?? {} };
    row.values.push(value);
    rows.set(name, row);
  };
  return {
    ratio: addTo(ratios),
    figure: addTo(figures),
    busy: (target, shares) => {
      const columns = busy.get(target) ?? new Map<string, Row>();
      for (const [who, share] of Object.entries(shares)) addTo(columns)(who, share);
      busy.set(target, columns);
    },
    finish: (out, rounds) => {
      printTable('figure', figures);
      printBusy(busy);
      printTable('ratio', ratios);
      const result = {
        machine: machine(),
        rounds,
        ratios: spreadsOf(ratios),
        figures: spreadsOf(figures),
        busy: Object.fromEntries([...busy].map(([target, rows]) => [target, spreadsOf(rows)])),
      };
      writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
      const missed = [...figures, ...ratios]
        .filter(([, row]) => isMissed(row))
        .map(([name]) => name);
      console.log(missed.length === 0 ? '' : `\nGoals missed: ${missed.join('; ')}`);
      console.log(`Written to ${out}`);
      return missed;
    },
  };
}

/** What the figures were measured on. */
export function machine(): string {
  const cores = cpus();
  const memoryGib = Math.round(totalmem() / 1024 ** 3);
  return `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown'}, ${memoryGib} GiB, ${process.platform} ${release()}, Node ${process.versions.node}`;
}

function spreadsOf(rows: Map<string, Row>): Record<string, Spread> {
  return Object.fromEntries(
    [...rows].map(([name, { values }]) => [name, mapSpread(spreadOf(values), rounded)]),
  );
}

function printTable(title: string, rows: Map<string, Row>): void {
  if (rows.size === 0) return;
  const width = Math.max(...[...rows.keys()].map((name) => name.length)) + 2;
  console.log(`\n${title.padEnd(width)}${['median', 'min', 'max'].map(cell).join('')}   goal`);
  for (const [name, row] of rows) {
    const { median, min, max } = spreadOf(row.values);
    const cells = [median, min, max].map((value) => cell(String(rounded(value))));
    console.log(`${name.padEnd(width)}${cells.join('')}   ${verdictOn(row)}`);
  }
}

/** Medians, a line for each target. */
function printBusy(busy: Map<string, Map<string, Row>>): void {
  const [columns] = busy.values();
  if (columns === undefined) return;
  const title = 'share of a core at full load';
  console.log(`\n${title.padEnd(32)}${[...columns.keys()].map(cell).join('')}`);
  for (const [target, shares] of busy) {
    const cells = [...shares.values()].map(({ values }) =>
      cell(spreadOf(values).median.toFixed(2)),
    );
    console.log(`${target.padEnd(32)}${cells.join('')}`);
  }
}

function verdictOn(row: Row): string {
  const { atLeast, atMost, elsewhere } = row.goal;
  if (elsewhere !== undefined) return `${elsewhere} elsewhere`;
  if (atLeast === undefined && atMost === undefined) return '';
  const goal = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`;
  return `${goal}  ${isMissed(row) ? 'MISSED' : 'reached'}`;
}

function isMissed({ values, goal: { atLeast, atMost } }: Row): boolean {
  const { median } = spreadOf(values);
  // written so that what is no number reaches nothing
  return (
    (atLeast !== undefined && !(median >= atLeast)) || (atMost !== undefined && !(median <= atMost))
  );
}

function cell(text: string): string {
  return text.padStart(11);
}

function mapSpread(spread: Spread, change: (value: number) => number): Spread {
  return { median: change(spread.median), min: change(spread.min), max: change(spread.max) };
}

function rounded(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 1_000) / 1_000;
}
