import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS } from './patience.js';

/** A process as the kernel tells of it. */
export interface Process {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** With the id it names a process for good. */
  startTime: string;
  command: string;
}

/** Every process of this machine but those that have ended and are only waited for. Linux only. */
export function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

/** A process and all that it and its children have started. */
export function processTree(root: number): Process[] {
  const all = processes();
  const tree = all.filter((one) => one.pid === root);
  for (const one of tree) tree.push(...all.filter((other) => other.parent === one.pid));
  return tree;
}

/** Of these processes, of their groups and of their sessions whatever still runs. */
export function leftOf(tree: readonly Process[]): Process[] {
  const own = new Set(tree.map((one) => one.pid));
  const known = new Set(tree.map(identityOf));
  // The sessions and groups that the tree has begun, not the one it was started in.
  return processes().filter(
    (one) =>
      known.has(identityOf(one)) ||
      (own.has(one.group) && one.group !== one.pid) ||
      (own.has(one.session) && one.session !== one.pid),
  );
}

/** Waits until nothing is left of a tree, a minute at most. @returns what is left after all */
export async function untilGone(tree: readonly Process[]): Promise<Process[]> {
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(50)) {
    if (leftOf(tree).length === 0) return [];
  }
  return leftOf(tree);
}

function identityOf({ pid, startTime }: Process): string {
  return `${pid} ${startTime}`;
}

function readProcess(pid: number): Process | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses, which may hold anything.
    const [state = '', parent, group, session, ...rest] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ');
    if (state === 'Z') return null;
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return {
      pid,
      parent: Number(parent),
      group: Number(group),
      session: Number(session),
      startTime: rest[15] ?? '',
      command,
    };
  } catch {
    return null;
  }
}
