import { readFile, stat } from 'node:fs/promises';

/** Where a consumer's key comes from. Neither the provider nor its errors hold the key where they could be printed. */
export interface SecretProvider {
  /** Kind of the place, for people: `env` or `file`. */
  readonly source: string;
  /**
   * The key as it is now, null where there is none. `fresh` reads the place anew even if nothing seems to have changed.
   */
  read(options?: { fresh?: boolean }): Promise<string | null>;
  /** When the key in use was read, null before that. */
  refreshedAt(): Date | null;
}

const MAX_FILE_BYTES = 4_096;

/** The key in variable `name` of `variables`, such as `process.env` or an app's checked settings. */
export function fromEnv(
  name: string,
  variables: Readonly<Record<string, unknown>>,
): SecretProvider {
  let readAt: Date | null = null;
  return {
    source: 'env',
    read: () => {
      const value = variables[name];
      const text = typeof value === 'string' ? value.trim() : '';
      if (text !== '') readAt ??= new Date();
      return Promise.resolve(text === '' ? null : text);
    },
    refreshedAt: () => readAt,
  };
}

/**
 * The key in a file, without the white space around it. The file is looked at on each use and read again when it was
 * changed or replaced. While it is missing, empty, too large or not to be read, the key read last stays in use: that is
 * how a file looks in the middle of being written.
 */
export function fromFile(path: string): SecretProvider {
  let text: string | null = null;
  let mark = '';
  let readAt: Date | null = null;
  return {
    source: 'file',
    read: async ({ fresh = false } = {}) => {
      const found = await markOf(path);
      if (found === null || (found === mark && !fresh)) return text;
      const content = await readText(path);
      if (content === null) return text;
      if (content !== text) readAt = new Date();
      text = content;
      mark = found;
      return text;
    },
    refreshedAt: () => readAt,
  };
}

/** What changes with the file's content; null where there is nothing to read. */
async function markOf(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  if (found === null || !found.isFile() || found.size > MAX_FILE_BYTES) return null;
  return `${found.dev}.${found.ino}.${found.size}.${found.mtimeNs}.${found.ctimeNs}`;
}

async function readText(path: string): Promise<string | null> {
  const content = await readFile(path, 'utf8').catch(() => '');
  return content.trim() || null;
}
