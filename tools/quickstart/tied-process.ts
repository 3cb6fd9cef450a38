import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A server program to be run as a child. */
export interface TiedOptions {
  command: string;
  args: string[];
  cwd: string;
  /** File descriptor for what it prints. */
  output: number;
  /** What the kernel sends it when this process is gone, however it ended; Linux only. */
  endSignal: NodeJS.Signals;
  /** User to run as, where this process is root and the program refuses to be. */
  userId?: UserId | undefined;
}

/** Number of a user and of its group. */
export interface UserId {
  uid: number;
  gid: number;
}

/**
 * Starts a program that ends with this process, also when this process is killed, and that a Ctrl-C in the terminal does
 * not reach: it is stopped in order, by whoever started it.
 */
export function spawnTied(options: TiedOptions): ChildProcess {
  const { command, args, cwd, output, endSignal, userId } = options;
  const prefix = commandPrefix(endSignal, userId);
  const [program = command, ...rest] = [...prefix, command, ...args];
  return spawn(program, rest, {
    cwd,
    detached: true,
    stdio: ['ignore', output, output],
    ...(userId && prefix.length === 0 && userId),
  });
}

/** The same for a program that does its work and ends. */
export function runAs(command: string, args: string[], userId: UserId | undefined): void {
  const [program = command, ...rest] = [...commandPrefix('SIGTERM', userId), command, ...args];
  const { error, status, stderr } = spawnSync(program, rest, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} failed: ${stderr.trim()}`);
}

/** util-linux's `setpriv` with what it is to do, or nothing where the system has none that can. */
function commandPrefix(endSignal: NodeJS.Signals, userId: UserId | undefined): string[] {
  const death = `--pdeathsig=${endSignal.slice('SIG'.length)}`;
  if (spawnSync('setpriv', [death, 'true']).status !== 0) return [];
  return ['setpriv', ...(userId ? asUser(userId) : []), death, '--'];
}

/**
 * Another user than root, who may still pass through folders that only root can: the project may lie in one, as in /root,
 * and the Keyward home is one. `no_setuid_fixup` makes `access()` respect that as well.
 */
function asUser({ uid, gid }: UserId): string[] {
  const capability = has(CAP_DAC_READ_SEARCH) ? 'dac_read_search' : 'dac_override';
  return [
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
    '--securebits=+no_setuid_fixup',
  ];
}

const CAP_DAC_READ_SEARCH = 2n;

function has(capability: bigint): boolean {
  const [, mask = '0'] =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${mask}`) >> capability) & 1n) === 1n;
}
