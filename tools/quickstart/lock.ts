import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

/** Outcome of {@link lockFile}: taken, or the process that holds it. */
export interface Lock {
  heldBy?: number;
  release: () => void;
}

/**
 * Takes a lock that is a file with the owner's process id and start time. One that was left behind by a process that is
 * gone is taken over, also when its id belongs to another process by now.
 */
export function lockFile(path: string): Lock {
  const own = identityOf(process.pid);
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, own ?? '', { mode: 0o600 });
  try {
    for (;;) {
      if (tryLink(draft, path)) return { release: () => rmSync(path, { force: true }) };
      const holder = readOrNull(path);
      if (holder === null) continue;
      const pid = Number(holder.split(' ')[0]);
      if (holder === own || (holder !== '' && identityOf(pid) === holder)) {
        return { heldBy: pid, release: () => undefined };
      }
      rmSync(path, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
}

/** `<pid> <start time>` of a running process, `<pid>` where the system does not tell the time, null where it is gone. */
export function identityOf(pid: number): string | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return null;
  }
  const stat = readOrNull(`/proc/${pid}/stat`);
  // The second field is the name in parentheses, which may hold anything; the start time is the 22nd.
  const startTime = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return startTime === undefined ? String(pid) : `${pid} ${startTime}`;
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
