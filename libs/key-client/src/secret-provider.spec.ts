import { mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { fromEnv, fromFile } from './secret-provider.js';

describe('fromEnv', () => {
  it('gives the variable without the white space around it', async () => {
    const provider = fromEnv('KEY', { KEY: ' s3cret\n' });
    expect(provider.refreshedAt()).toBeNull();
    await expect(provider.read()).resolves.toBe('s3cret');
    expect([provider.source, provider.refreshedAt()]).toEqual(['env', expect.any(Date)]);
    expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain('s3cret');
  });

  it('gives null where the variable is missing or empty', async () => {
    await expect(fromEnv('KEY', {}).read()).resolves.toBeNull();
    await expect(fromEnv('KEY', { KEY: ' ' }).read()).resolves.toBeNull();
  });
});

describe('fromFile', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'key-client-'));
    path = join(folder, 'key');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('reads the file again when it was written or replaced', async () => {
    const provider = fromFile(path);
    await expect(provider.read()).resolves.toBeNull();
    await writeFile(path, 'one\n');
    await expect(provider.read()).resolves.toBe('one');
    const first = provider.refreshedAt();
    await expect(provider.read()).resolves.toBe('one');
    expect(provider.refreshedAt()).toBe(first);
    await writeFile(path, 'three\n');
    await expect(provider.read()).resolves.toBe('three');
    await writeFile(`${path}.new`, 'seven\n');
    await rename(`${path}.new`, path);
    await expect(provider.read()).resolves.toBe('seven');
  });

  it('sees a change behind an unchanged size and time when a fresh read is asked for', async () => {
    const provider = fromFile(path);
    const time = new Date(0);
    await writeFile(path, 'one');
    await utimes(path, time, time);
    await provider.read();
    await writeFile(path, 'two');
    await utimes(path, time, time);
    await expect(provider.read({ fresh: true })).resolves.toBe('two');
  });

  it('keeps the key read last while the file is gone, empty or too large', async () => {
    const provider = fromFile(path);
    await writeFile(path, 'one');
    await provider.read();
    for (const content of ['', 'x'.repeat(5_000)]) {
      await writeFile(path, content);
      await expect(provider.read()).resolves.toBe('one');
    }
    await rm(path);
    await expect(provider.read({ fresh: true })).resolves.toBe('one');
    await writeFile(path, 'two');
    await expect(provider.read()).resolves.toBe('two');
  });

  it('shows no key to who prints it', async () => {
    await writeFile(path, 's3cret');
    const provider = fromFile(path);
    await provider.read();
    expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain('s3cret');
    expect(JSON.stringify(provider)).not.toContain('s3cret');
  });
});
