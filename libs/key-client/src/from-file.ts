import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { describeKey } from './describe-key.js';
import {
  SecretStoreError,
  type WritableSecretProvider,
  type WrittenSecret,
} from './secret-provider.js';

const MAX_FILE_BYTES = 4_096;

/**
 * The key in a file, without the white space around it. The file is looked at on each use and read again when it was
 * changed, replaced, or reached through symbolic links that now lead elsewhere, as Kubernetes does it. While it is missing,
 * empty, too large or not to be read, the key read last stays in use: that is how a file looks in the middle of being written.
 *
 * @param mode of the file once it is written here: for its owner only by default
 */
export function fromFile(
  path: string,
  { mode = 0o600 }: { mode?: number } = {},
): WritableSecretProvider {
  let text: string | null = null;
  let mark = '';
  let readAt: Date | null = null;
  let lack = 'was not read yet';
  return {
    source: 'file',
    place: `the file ${path}`,
    lack: () => lack,
    read: async ({ fresh = false } = {}) => {
      try {
        const found = await markOf(path);
        if (found === mark && !fresh) return text;
        const content = await readText(path);
        if (content !== text) readAt = new Date();
        text = content;
        mark = found;
      } catch (error) {
        lack = lackOf(error as NodeJS.ErrnoException);
      }
      return text;
    },
    refreshedAt: () => readAt,
    write: (secret) => writeWhole(path, secret, mode),
  };
}

/** A file that can be read and holds no key; the message says why. */
class NoKey extends Error {}

/** What changes with the file's content. @throws NoKey, or what the system says of the file */
async function markOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true });
  if (!found.isFile()) throw new NoKey('is not a file');
  if (found.size > MAX_FILE_BYTES) throw new NoKey(`is larger than ${MAX_FILE_BYTES} bytes`);
  return `${found.dev}.${found.ino}.${found.size}.${found.mtimeNs}.${found.ctimeNs}`;
}

/** @throws as {@link markOf} */
async function readText(path: string): Promise<string> {
  const text = (await readFile(path, 'utf8')).trim();
  if (text === '') throw new NoKey('is empty');
  return text;
}

function lackOf(error: NodeJS.ErrnoException): string {
  if (error instanceof NoKey) return error.message;
  return error.code === 'ENOENT' ? 'is not there' : `cannot be read (${error.code ?? error.name})`;
}

/** Whole or not at all, and on the disk before it takes its place. */
async function writeWhole(path: string, secret: string, mode: number): Promise<WrittenSecret> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.new`;
  try {
    const file = await open(draft, 'wx', mode);
    try {
      // Not as the umask has it: who reads the file may be another one of the group.
      await file.chmod(mode);
      await file.writeFile(`${secret}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    return { version: describeKey(secret).secretVersion };
  } catch (error) {
    await rm(draft, { force: true });
    const { code } = error as NodeJS.ErrnoException;
    throw new SecretStoreError(`The file cannot be written (${code ?? 'unknown'})`, true);
  }
}
