import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { fromFile } from './from-file.js';

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

  it('says which file it is, and why there is no key in it', async () => {
    const provider = fromFile(path);
    expect(provider.place).toBe(`the file ${path}`);
    const lackOf = async () => [await provider.read(), provider.lack?.()];
    expect(await lackOf()).toEqual([null, 'is not there']);
    await writeFile(path, ' \n');
    expect(await lackOf()).toEqual([null, 'is empty']);
    await writeFile(path, 'x'.repeat(5_000));
    expect(await lackOf()).toEqual([null, 'is larger than 4096 bytes']);
    await rm(path);
    await mkdir(path);
    expect(await lackOf()).toEqual([null, 'is not a file']);
    await rm(path, { recursive: true });
    await symlink(path, path);
    expect(await lackOf()).toEqual([null, 'cannot be read (ELOOP)']);
  });

  it('follows a mounted secret of Kubernetes: a link to a link to a folder that is exchanged', async () => {
    const publish = async (name: string, key: string): Promise<void> => {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'key'), key);
      await symlink(name, join(folder, '..data_tmp'));
      await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    await publish('..2027_01_31', 'one');
    await symlink(join('..data', 'key'), path);
    const provider = fromFile(path);
    await expect(provider.read()).resolves.toBe('one');
    await publish('..2027_02_01', 'two');
    await rm(join(folder, '..2027_01_31'), { recursive: true });
    await expect(provider.read()).resolves.toBe('two');
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

  it('puts a key into the file whole, for its owner only or as it is told', async () => {
    const { version } = await fromFile(path).write('one');
    expect(version).toMatch(/^[0-9a-f]{8}$/);
    expect(await readFile(path, 'utf8')).toBe('one\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await fromFile(path, { mode: 0o640 }).write('two');
    await expect(fromFile(path).read()).resolves.toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(folder)).toEqual(['key']);
  });

  it('says that it cannot, and leaves nothing behind, where the file cannot be put in its place', async () => {
    await mkdir(path);
    const error: unknown = await fromFile(path)
      .write('s3cret')
      .catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: 'SecretStoreError', isRefusal: true });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('s3cret');
    expect(await readdir(folder)).toEqual(['key']);
  });

  it('shows no key to who prints it', async () => {
    await writeFile(path, 's3cret');
    const provider = fromFile(path);
    await provider.read();
    expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain('s3cret');
    expect(JSON.stringify(provider)).not.toContain('s3cret');
  });
});
