import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { lockFile } from './lock.js';

/** The folder that holds everything of one platform: data, secrets, logs. Only its owner can look inside. */
export interface Home {
  path: string;
  /** Path of something inside. */
  at: (...names: string[]) => string;
  /** Gives the folder free for another start. */
  unlock: () => void;
  /** The same where nothing has begun in it: folders that were made for it just now are taken away. */
  abandon: () => void;
}

/**
 * Makes the folder, mode 0700, and takes it for this process.
 *
 * @throws Error in one clear line where another process runs the platform of this folder
 */
export function openHome(path: string): Home {
  const home = resolve(path);
  const made = mkdirSync(join(home, 'logs'), { recursive: true, mode: 0o700 });
  chmodSync(home, 0o700);
  // Its secrets belong in no repository, whatever the folder is called.
  writeFileSync(join(home, '.gitignore'), '*\n');
  const at = (...names: string[]) => join(home, ...names);
  const { release, heldBy } = lockFile(at('lock'));
  if (heldBy !== undefined) {
    throw new Error(
      `Keyward already runs in ${home} (process ${heldBy}); stop it first, or set KEYWARD_HOME to another folder`,
    );
  }
  const abandon = () => {
    release();
    if (made !== undefined) rmSync(made, { recursive: true });
  };
  return { path: home, at, unlock: release, abandon };
}

/** Writes a file that only its owner can read (mode 0600), whole or not at all. */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, path);
}

/** What a platform has to remember between starts and no app needs to know. */
const state = z.object({
  postgresPort: z.int().optional(),
  redisPort: z.int().optional(),
  /** Which database was provisioned, null while none is; see `fingerprint`. */
  provisioned: z.string().nullable().default(null),
  passwords: z.record(z.string(), z.string()).default({}),
});
export type State = z.infer<typeof state>;

/** The remembered state; an empty one at the first start. */
export function readState(home: Home): State {
  try {
    return state.parse(JSON.parse(readFileSync(home.at('state.json'), 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return state.parse({});
    throw new Error(`${home.at('state.json')} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Remembers the state. */
export function writeState(home: Home, value: State): void {
  writePrivate(home.at('state.json'), `${JSON.stringify(value, null, 2)}\n`);
}
