import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../../test/support/temp-dir.js';
import { identityOf, lockFile } from './lock.js';

describe('lockFile', () => {
  const dir = tempDir();
  const path = join(dir.path, 'lock');
  afterAll(dir.remove);

  it('is held by one at a time, who is named, and is gone once released', () => {
    const first = lockFile(path);
    expect(first.heldBy).toBeUndefined();
    expect(lockFile(path).heldBy).toBe(process.pid);
    first.release();
    expect(existsSync(path)).toBe(false);
    const second = lockFile(path);
    expect(second.heldBy).toBeUndefined();
    second.release();
  });

  it('is taken over from a process that is gone', () => {
    const { pid } = spawnSync('true');
    writeFileSync(path, `${pid} 12345`);
    const lock = lockFile(path);
    expect(lock.heldBy).toBeUndefined();
    lock.release();
  });

  it('is taken over when the process id belongs to another process by now', () => {
    const [pid] = (identityOf(process.ppid) ?? '').split(' ');
    writeFileSync(path, `${pid} 1`);
    const lock = lockFile(path);
    expect(lock.heldBy).toBeUndefined();
    lock.release();
  });

  it('is taken over when it is damaged', () => {
    writeFileSync(path, 'nonsense');
    const lock = lockFile(path);
    expect(lock.heldBy).toBeUndefined();
    lock.release();
  });
});
