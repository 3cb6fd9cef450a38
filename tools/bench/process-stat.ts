import { readdirSync, readFileSync } from 'node:fs';

/** Time that all threads of a process have been on a core, in microseconds; NaN where Linux does not tell. */
export function cpuUsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
      const [onCoreNs] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
      return sum + Number(onCoreNs) / 1_000;
    }, 0);
  } catch {
    return NaN;
  }
}

/** The same of a process and of those it has started that still run, such as the backends of PostgreSQL. */
export function cpuUsOfFamily(pid: number): number {
  const children = processes()
    .filter((name) => parentOf(name) === pid)
    .map((name) => cpuUsOf(Number(name)))
    // one that has just ended
    .filter((us) => !Number.isNaN(us));
  return children.reduce((sum, us) => sum + us, cpuUsOf(pid));
}

function processes(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function parentOf(pid: string): number {
  try {
    // after the name, which may hold anything: state and parent
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return NaN;
  }
}

/** Resident memory of a process in MiB; NaN where Linux does not tell. */
export function rssMibOf(pid: number): number {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(kib) / 1_024;
  } catch {
    return NaN;
  }
}
