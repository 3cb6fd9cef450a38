import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { spreadOf, type Spread } from './slices.js';

/** A ratio that is to be reached: at least, or at most. */
export interface Goal {
  atLeast?: number;
  atMost?: number;
}

/** What was measured, round by round. */
export interface Results {
  /** Adds a ratio of one round. */
  ratio: (name: string, value: number, goal?: Goal) => void;
  /** Adds a figure of one round that only means something on this machine. */
  figure: (name: string, value: number, goal?: Goal) => void;
  /** Prints the table and writes the file. */
  finish: (out: string, rounds: number) => void;
}

interface Row {
  values: number[];
  goal: Goal;
}

/** Nothing measured yet. */
export function createResults(): Results {
  const ratios = new Map<string, Row>();
  const figures = new Map<string, Row>();
  const addTo = (rows: Map<string, Row>) => (name: string, value: number, goal?: Goal) => {
    const row = rows.get(name) ?? { values: [], goal: goal ?? {} };
    row.values.push(value);
    rows.set(name, row);
  };
  return {
    ratio: addTo(ratios),
    figure: addTo(figures),
    finish: (out, rounds) => {
      printTable('figure', figures);
      printTable('ratio', ratios);
      const result = {
        machine: machine(),
        rounds,
        ratios: spreadsOf(ratios),
        figures: spreadsOf(figures),
      };
      writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
      console.log(`\nWritten to ${out}`);
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
  console.log(`\n${title.padEnd(44)}${['median', 'min', 'max'].map(cell).join('')}   goal`);
  for (const [name, { values, goal }] of rows) {
    const { median, min, max } = spreadOf(values);
    const cells = [median, min, max].map((value) => cell(String(rounded(value))));
    console.log(`${name.padEnd(44)}${cells.join('')}   ${verdictOn(median, goal)}`);
  }
}

function verdictOn(median: number, { atLeast, atMost }: Goal): string {
  if (atLeast !== undefined) return `>= ${atLeast}${median < atLeast ? '  missed' : '  reached'}`;
  if (atMost !== undefined) return `<= ${atMost}${median > atMost ? '  missed' : '  reached'}`;
  return '';
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
