import { spawn, spawnSync } from 'node:child_process';
import { pbkdf2Sync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import * as argon2 from 'argon2';
import { hashSync } from 'bcryptjs';
import type { SlowQuestion } from '#key-core/legacy';
import { SlowPool } from './slow-pool.js';
import { SlowProcess } from './slow-process.js';

const PART = 'Zm9vYmFyYmF6cXV4cXV1eA';
const asked = (hash: string, part = PART): SlowQuestion => ({ algorithm: 'bcrypt', hash, part });
const quick = asked(hashSync(PART, 8));
const unpadded = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '');
const SALT = Buffer.alloc(16);
/** Next to no work. */
const cheap: SlowQuestion = {
  algorithm: 'pbkdf2',
  hash: `$pbkdf2-sha256$i=1$${unpadded(SALT)}$${unpadded(pbkdf2Sync(PART, SALT, 1, 32, 'sha256'))}`,
  part: PART,
};
/** Seconds of work, with a hash of nothing. */
const endless = asked(`$2b$14$${'.'.repeat(53)}`);

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
const untilDead = async (pid: number): Promise<void> => {
  while (isAlive(pid)) await wait(20);
};

/** What the scheduler knows of each thread of a process: its nice value and its class, of which 5 is `SCHED_IDLE`. */
const schedulingOf = (pid: number) =>
  readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { nice: Number(fields[16]), policy: Number(fields[38]) };
  });
const IDLE = 5;
const hasIdle = process.platform === 'linux' && existsSync('/usr/bin/chrt');

/** A process that has a pool, and what it does with it. */
const startOwner = (does: string, [command, ...before]: string[] = [process.execPath]) => {
  const code = `
    const { SlowPool } = await import(${JSON.stringify(new URL('./slow-pool.js', import.meta.url).href)});
    setInterval(() => undefined, 1_000);
    const pool = new SlowPool();
    const quick = ${JSON.stringify(quick)};
    ${does}`;
  const args = [...before, '--input-type=module', '--eval', code];
  // none outlives its test, whatever it does
  const end = { timeout: 100_000, killSignal: 'SIGKILL' } as const;
  return spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'], ...end });
};
const ownerOf = async (
  does: string,
  command?: string[],
): Promise<{ stdout: string; code: number | null }> => {
  const owner = startOwner(does, command);
  let stdout = '';
  owner.stdout.on('data', (piece: Buffer) => (stdout += piece.toString()));
  const code = await new Promise<number | null>((resolve) => owner.on('close', resolve));
  return { stdout, code };
};

/** Skipped, and told so, where nothing keeps a process on one processor. */
const hasTaskset = spawnSync('taskset', ['-c', '-p', String(process.pid)]).status === 0;
const whereTasksetIs = hasTaskset ? describe : describe.skip;

describe('SlowPool', () => {
  let pool: SlowPool;
  beforeEach(() => (pool = new SlowPool()));
  afterEach(() => pool.close());

  const policyOf = (pid: number) => schedulingOf(pid)[0]?.policy;
  const idleOnes = () => pool.pids.filter((pid) => policyOf(pid) === IDLE);

  it('has no process until there is a hash to compare', async () => {
    expect(pool.pids).toEqual([]);
    await expect(pool.matches(quick)).resolves.toBe(true);
    await expect(pool.matches({ ...quick, part: 'guess' })).resolves.toBe(false);
    expect(pool.pids).toHaveLength(1);
  });

  it('says neither yes nor no where a process ends over a hash, and goes on with the next', async () => {
    const under = pool.matches(endless);
    const [pid] = pool.pids as [number];
    const waiting = pool.matches(quick);
    process.kill(pid, 'SIGKILL');
    await expect(under).rejects.toThrow('has ended');
    await expect(waiting).resolves.toBe(true);
  });

  it('replaces a process that was ended while it had nothing to do', async () => {
    await pool.matches(quick);
    const [pid] = pool.pids as [number];
    process.kill(pid, 'SIGKILL');
    await untilDead(pid);
    await expect(pool.matches(quick)).resolves.toBe(true);
  });

  it('has no more processes than it may, however many hashes there are', async () => {
    pool = new SlowPool(2);
    let most = 0;
    const look = () => (most = Math.max(most, pool.pids.length));
    const askAndLook = async () => {
      const asked = pool.matches(cheap);
      look();
      await asked;
      look();
    };
    await Promise.all(Array.from({ length: 6 }, askAndLook));
    expect(most).toBe(2);
  });

  it('takes only so many that wait, and says neither yes nor no to the others', async () => {
    const all = Array.from({ length: 40 }, () => pool.matches(endless));
    const ended = Promise.allSettled(all);
    expect(pool.isFull).toBe(true);
    await expect(all.at(-1)).rejects.toThrow('No process is to be had');
    pool.close();
    const ends = await ended;
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true);
  });

  it('compares below everything else, argon2 too', async () => {
    const hash = await argon2.hash(PART, { memoryCost: 1_024, timeCost: 1, parallelism: 2 });
    const slow = new SlowProcess('idle');
    try {
      const matches = await slow.matches({ algorithm: 'argon2id', hash, part: PART });
      expect(matches).toBe(true);
      if (process.platform !== 'linux') return;
      const policy = hasIdle ? IDLE : 0;
      const nice = Math.max(10, getPriority());
      for (const each of schedulingOf(slow.pid!)) expect(each).toEqual({ nice, policy });
    } finally {
      slow.end();
    }
  });

  whereTasksetIs('where others have the processor to themselves', () => {
    it('compares late rather than never', async () => {
      const status = readFileSync('/proc/self/status', 'utf8');
      const [, processor] = /^Cpus_allowed_list:\s+(\d+)/m.exec(status) as unknown as [
        string,
        string,
      ];
      const hash = hashSync(PART, 11);
      const { stdout, code } = await ownerOf(
        `
      const { Worker } = await import('node:worker_threads');
      new Worker('for (;;);', { eval: true });
      const dear = ${JSON.stringify(asked(hash))};
      const first = await pool.matches(dear);
      const { readFileSync } = await import('node:fs');
      const stat = readFileSync('/proc/' + pool.pids[0] + '/stat', 'utf8');
      const policy = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
      console.log(JSON.stringify([first, await pool.matches({ ...dear, part: 'guess' }), policy]));
      process.exit();`,
        ['taskset', '-c', processor, process.execPath],
      );
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toEqual([true, false, 0]);
    });
  });

  // where all processors are busy a process may have got too little as it started, and there is one with a share before the test begins
  it('gives a share to all processes after one got none, and ends those that have none of their own', async () => {
    if (!hasIdle) return;
    pool = new SlowPool(2);
    await Promise.all([pool.matches(quick), pool.matches(quick)]);
    const [stopped] = idleOnes();
    // what stands still gets nothing
    if (stopped !== undefined) process.kill(stopped, 'SIGSTOP');
    await Promise.all([pool.matches(quick), pool.matches(quick)]);
    for (let i = 0; i < 20 && idleOnes().length > 0; i += 1) await pool.matches(quick);
    expect(pool.pids.map(policyOf)).toEqual(pool.pids.map(() => 0));
    expect(pool.pids).not.toHaveLength(0);
  });

  it('gives a share where each hash is compared soon enough, but with next to nothing', async () => {
    if (!hasIdle) return;
    await pool.matches(cheap);
    // every other time it rests meanwhile, and what it got when it started has to be long ago
    for (let i = 0; i < 30 && idleOnes().length > 0; i += 1) {
      const [pid] = idleOnes() as [number];
      process.kill(pid, 'SIGSTOP');
      setTimeout(() => isAlive(pid) && process.kill(pid, 'SIGCONT'), 700);
      await expect(pool.matches(cheap)).resolves.toBe(true);
    }
    expect(pool.pids.map(policyOf)).toEqual([0]);
  });

  it('tells all who wait when it is closed, and not when the processes are dead', async () => {
    const under = pool.matches(endless).catch(() => 'told');
    const waiting = pool.matches(endless).catch(() => 'told');
    pool.close();
    const soon = new Promise((resolve) => setImmediate(() => resolve('not yet')));
    await expect(Promise.race([Promise.all([under, waiting]), soon])).resolves.toEqual([
      'told',
      'told',
    ]);
  });

  it('is told nothing but the question: no setting of the service reaches it', async () => {
    await pool.matches(quick);
    if (process.platform !== 'linux') return;
    const environment = readFileSync(`/proc/${pool.pids[0]}/environ`, 'utf8');
    const told = environment.split('\0').filter((one) => !/^($|NODE_CHANNEL_)/.test(one));
    expect(told.toSorted()).toEqual([
      'MALLOC_ARENA_MAX=1',
      'MALLOC_MMAP_THRESHOLD_=33554432',
      'MALLOC_TRIM_THRESHOLD_=268435456',
    ]);
  });

  it('tells those who wait where no process can be started, and goes on when one can', async () => {
    const { stdout, code } = await ownerOf(`
      await pool.matches(quick);
      const { execPath } = process;
      // what no system starts: fork throws
      process.execPath = '\\0';
      const waiting = [pool.matches(quick), pool.matches(quick), pool.matches(quick)];
      process.kill(pool.pids[0], 'SIGKILL');
      const ends = await Promise.allSettled([...waiting, pool.matches(quick)]);
      process.execPath = execPath;
      const after = await pool.matches(quick);
      console.log(JSON.stringify([ends.map((one) => one.status), after]));
      process.exit();`);
    expect(code).toBe(0);
    const [ends, after] = JSON.parse(stdout) as [string[], boolean];
    expect(ends).toContain('rejected');
    expect(after).toBe(true);
  });

  it('ends with the process that started it, however that ends', async () => {
    const owner = startOwner('await pool.matches(quick); console.log(pool.pids[0]);');
    const told = await new Promise<Buffer>((resolve) => owner.stdout.once('data', resolve));
    const pid = Number(told.toString());
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await untilDead(pid);
  });
});
