// What has to be there before anything of Keyward runs. Plain JavaScript without dependencies: it runs on a fresh clone.
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const NODE_AT_LEAST = [20, 19];
const SOURCES = ['apps', 'libs', 'migrations', 'test', 'tools'];
const SETTINGS = ['nest-cli.json', 'package.json', 'package-lock.json', 'tsconfig.json'];
/** Written after a whole build; its time is when that build began. */
const STAMP = join(ROOT, 'dist', '.built');

/** Ends the process with one clear line where Node is too old. */
export function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [needMajor, needMinor] = NODE_AT_LEAST;
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return;
  console.error(
    `Keyward needs Node.js ${NODE_AT_LEAST.join('.')} or newer; this is ${process.version}. See https://nodejs.org`,
  );
  process.exit(1);
}

/**
 * Installs and builds what is missing or older than its sources. Of several processes one does it, the others wait.
 * `KEYWARD_SKIP_SETUP=1` says that it is done: tests that run from the build must not replace it.
 */
export async function ensureReady() {
  if (process.env.KEYWARD_SKIP_SETUP === '1' || (isInstalled() && isBuilt())) return;
  await alone(async () => {
    if (!isInstalled()) await install();
    if (!isBuilt()) await build();
  });
}

/** Installs the packages of the lock file, where that has not been done. */
export async function ensureInstalled() {
  if (!isInstalled()) await install();
}

/** Builds `dist/` anew. */
export async function build() {
  console.log('Building ...');
  const startedAt = new Date();
  const nest = join(ROOT, 'node_modules', '@nestjs', 'cli', 'bin', 'nest.js');
  await run(process.execPath, [nest, 'build']);
  writeFileSync(STAMP, '');
  utimesSync(STAMP, startedAt, startedAt);
}

/**
 * Runs a command in the project's folder, its output here. Stop signals are passed on.
 *
 * @returns nothing where it ended with 0; otherwise rejects, with `exitCode` on the error
 */
export async function run(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: 'inherit',
  });
  let stoppedBy;
  const pass = (signal) => {
    stoppedBy = signal;
    child.kill(signal);
  };
  process.on('SIGINT', pass).on('SIGTERM', pass);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
  process.off('SIGINT', pass).off('SIGTERM', pass);
  if (stoppedBy) process.exit(128 + constants.signals[stoppedBy]);
  if (code === 0) return;
  const error = new Error(`\`${[command, ...args].join(' ')}\` ended with code ${code}`);
  throw Object.assign(error, { exitCode: code });
}

function isInstalled() {
  const installed = timeOf(join(ROOT, 'node_modules', '.package-lock.json'));
  return installed > 0 && installed >= timeOf(join(ROOT, 'package-lock.json'));
}

async function install() {
  console.log('Installing packages (npm ci) ...');
  await run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}

function isBuilt() {
  const built = timeOf(STAMP);
  const files = SETTINGS.map((name) => timeOf(join(ROOT, name)));
  return (
    built > 0 && Math.max(...files, ...SOURCES.map((name) => newestIn(join(ROOT, name)))) < built
  );
}

/** Latest change under a folder; the folders count too, so that a removed file is seen. */
function newestIn(folder) {
  if (!existsSync(folder)) return 0;
  const inside = readdirSync(folder, { withFileTypes: true }).map((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? newestIn(path) : timeOf(path);
  });
  return Math.max(timeOf(folder), ...inside);
}

function timeOf(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

async function alone(work) {
  const lock = join(ROOT, '.keyward', 'setup.lock');
  mkdirSync(dirname(lock), { recursive: true, mode: 0o700 });
  while (!tryLock(lock)) await sleep(200);
  const unlock = () => rmSync(lock, { force: true });
  process.once('exit', unlock);
  try {
    await work();
  } finally {
    process.off('exit', unlock);
    unlock();
  }
}

function tryLock(lock) {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (!isHeld(lock)) rmSync(lock, { force: true });
    return false;
  }
}

function isHeld(lock) {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    // Just made and not yet written: held, by somebody who needs another moment.
    if (!pid) return Date.now() - timeOf(lock) < 5_000;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
