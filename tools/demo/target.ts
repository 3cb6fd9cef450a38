import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { OWN_VARIABLES } from '../quickstart/config.js';
import { call } from '../quickstart/http.js';
import { freePort } from '../quickstart/ports.js';

const quickstart = z.object({
  login: z.url(),
  keyService: z.url(),
  serviceA: z.url(),
  serviceB: z.url(),
  admin: z.object({ username: z.string(), password: z.string() }),
});

/** The platform that the demo is shown on. */
export interface Target extends z.infer<typeof quickstart> {
  /** Where service-b reads its key. */
  keyFile: string;
  /** Ends the platform if it was started for the demo. */
  release: () => Promise<void>;
}

/**
 * The platform that runs here, else one that is started for the demo, in a temporary folder and on free ports.
 *
 * @param given path of a `quickstart.json`, which then has to be that of a running platform
 */
export async function findTarget(given: string | undefined, home: string): Promise<Target> {
  if (given !== undefined) return read(resolve(given));
  const running = await tryRead(join(home, 'quickstart.json'));
  if (running !== null && (await serves(running))) return running;
  console.log('No platform runs here; starting one for the demo ...');
  return startTarget();
}

function read(path: string, release: () => Promise<void> = async () => undefined): Target {
  const told = quickstart.parse(JSON.parse(readFileSync(path, 'utf8')));
  return { ...told, keyFile: join(dirname(path), 'service-b.key'), release };
}

async function tryRead(path: string): Promise<Target | null> {
  try {
    return read(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function serves(target: Target): Promise<boolean> {
  const urls = [target.login, target.keyService, target.serviceA, target.serviceB];
  try {
    const answers = await Promise.all(urls.map((url) => call(`${url}/health/ready`)));
    return answers.every(({ status }) => status === 200);
  } catch {
    return false;
  }
}

/** Starts a platform of its own, in a temporary folder and on free ports, until it is released. */
export async function startTarget(): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'keyward-demo-'));
  const ports = ['LOGIN_PORT', 'KEY_SERVICE_PORT', 'SERVICE_A_PORT', 'SERVICE_B_PORT'];
  const own = new Set(OWN_VARIABLES);
  const others = Object.entries(process.env).filter(([name]) => !own.has(name));
  const env = { ...Object.fromEntries(others), KEYWARD_HOME: join(folder, 'home') };
  for (const name of ports) Object.assign(env, { [name]: String(await freePort()) });
  const entry = fileURLToPath(new URL('../quickstart.js', import.meta.url));
  const child = fork(entry, [], { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const ended = new Promise<number | null>((done) => {
    child.once('exit', done);
  });
  const release = async (): Promise<void> => {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const ready = new Promise<true>((done) => {
    child.once('message', () => done(true));
  });
  if ((await Promise.race([ready, ended])) !== true) {
    await release();
    throw new Error('The platform for the demo did not start');
  }
  return read(join(folder, 'home', 'quickstart.json'), release);
}
