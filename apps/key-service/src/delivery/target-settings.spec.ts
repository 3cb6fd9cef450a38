import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTargetSettings } from './target-settings.js';

describe('where secrets may be delivered to', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'targets-'));
    path = join(folder, 'targets.json');
  });
  afterEach(() => rm(folder, { recursive: true }));
  const read = async (settings: unknown) => {
    await writeFile(path, typeof settings === 'string' ? settings : JSON.stringify(settings));
    return readTargetSettings(path);
  };
  const file = { type: 'file', directory: '/run/keys', allow: ['{consumer}.key'] };
  const vault = { type: 'vault', address: 'https://vault.test', allow: ['a/'] };

  it('is nowhere unless it is configured', () => {
    expect(readTargetSettings(undefined)).toEqual({});
  });

  it('is what the file says, with defaults', async () => {
    await expect(read({ keys: file })).resolves.toEqual({ keys: { ...file, mode: '600' } });
    await expect(
      read({ v: { ...vault, auth: { roleId: 'r', secretIdFile: '/s' } } }),
    ).resolves.toMatchObject({ v: { mount: 'secret', field: 'key', timeoutMs: 1_000 } });
  });

  it.each([
    ['is not there', undefined, /cannot be read/],
    ['is no JSON', '{', /cannot be read/],
    ['names a kind that there is not', { x: { ...file, type: 'ftp' } }, /x\.type: /],
    ['allows nothing', { x: { ...file, allow: [] } }, /x\.allow: /],
    ['allows what leads elsewhere', { x: { ...file, allow: ['../'] } }, /x\.allow\.0: /],
    ['has another placeholder', { x: { ...file, allow: ['{service}/'] } }, /x\.allow\.0: /],
    ['has an unknown setting', { x: { ...file, folder: '/' } }, /x: /],
    ['has a token in it', { x: { ...vault, auth: { token: 'hvs.x' } } }, /x\.auth: /],
    [
      'has no web address',
      { x: { ...vault, address: 'file:///', auth: { tokenFile: '/t' } } },
      /x\.address: /,
    ],
  ])('stops the start where the file %s', async (_what, settings, says) => {
    const reading = settings === undefined ? async () => readTargetSettings(path) : read;
    await expect(reading(settings)).rejects.toThrow(says);
  });
});
