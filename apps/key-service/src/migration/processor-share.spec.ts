import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { ProcessorShare } from './processor-share.js';

const CHRT = '/usr/bin/chrt';
const hasIdle = process.platform === 'linux' && existsSync(CHRT);

/** Hundredths of a second that a process has had. */
const ticksOf = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
};

describe('ProcessorShare', () => {
  let child: ChildProcess;
  let share: ProcessorShare;
  beforeEach(() => {
    // it does nothing, which is what a process does that gets nothing
    child = spawn('sleep', ['60']);
    share = new ProcessorShare(child.pid);
    share.begin(0);
  });
  afterEach(() => child.kill('SIGKILL'));

  const makeIdle = () => spawnSync(CHRT, ['--idle', '--pid', '0', String(child.pid)]);

  it('is little where a process of the class SCHED_IDLE gets nothing for a second', () => {
    if (!hasIdle) return;
    makeIdle();
    expect(share.isLittle(999)).toBe(false);
    expect(share.isLittle(1_000)).toBe(true);
  });

  it('is counted over several pieces of work, without what is between them', () => {
    if (!hasIdle) return;
    makeIdle();
    expect(share.isLittle(600)).toBe(false);
    share.begin(60_000);
    expect(share.isLittle(60_300)).toBe(false);
    share.begin(120_000);
    expect(share.isLittle(120_100)).toBe(true);
  });

  it('is not little where it is a tenth of a processor', async () => {
    if (!hasIdle) return;
    child.kill('SIGKILL');
    child = spawn(process.execPath, ['--eval', 'for (;;);']);
    makeIdle();
    share = new ProcessorShare(child.pid);
    share.begin(0);
    while (ticksOf(child.pid!) < 10) await wait(20);
    expect(share.isLittle(1_000)).toBe(false);
  });

  it('is not little in any other class: there is no better one to be had', () => {
    expect(share.isLittle(10_000)).toBe(false);
  });

  it('is not little where a process is over', async () => {
    if (hasIdle) makeIdle();
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(share.isLittle(10_000)).toBe(false);
  });
});
