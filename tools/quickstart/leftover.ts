import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 15_000;

/**
 * Ends a server that an earlier start has left behind, where the system could not do that itself. Does nothing where the
 * process of the pid file is gone, or is another program or one of another folder by now.
 *
 * @param pidFile file in the server's working folder whose first line is the process id; it may be missing
 * @param program name that the process must have
 * @throws Error when it does not end within 15 s
 */
export async function stopLeftover(
  pidFile: string,
  program: string,
  signal: NodeJS.Signals,
): Promise<void> {
  const pid = pidIn(pidFile);
  if (pid === null || nameOf(pid) !== program || !worksIn(pid, dirname(pidFile))) return;
  process.kill(pid, signal);
  for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(50)) {
    if (nameOf(pid) !== program) return;
  }
  throw new Error(`${program} of an earlier start (process ${pid}) does not end; stop it by hand`);
}

function pidIn(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, 'utf8').split('\n')[0]);
    return Number.isInteger(pid) && pid > 1 ? pid : null;
  } catch {
    return null;
  }
}

/** Whether its working folder is this one; taken for granted where the system does not tell. */
function worksIn(pid: number, folder: string): boolean {
  if (!existsSync('/proc/self/cwd')) return true;
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === realpathSync(folder);
  } catch {
    return false;
  }
}

/** Name of a running program, empty where there is none. */
function nameOf(pid: number): string {
  if (!existsSync('/proc/self/stat')) return nameFromPs(pid);
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [, name = '', state = ''] = /\((.*)\) (\S)/.exec(stat) ?? [];
    return state === 'Z' ? '' : name;
  } catch {
    return '';
  }
}

function nameFromPs(pid: number): string {
  const { stdout } = spawnSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim().split('/').at(-1) ?? '';
}
