import { fork } from 'node:child_process';
import { closeSync, existsSync, openSync, renameSync } from 'node:fs';
import { maskSecrets } from '#contracts';
import { followFile } from './follow-file.js';
import { partOf, type Part } from './part.js';

/** An app to be started as a process of its own. */
export interface AppProcessOptions {
  name: string;
  /** JavaScript file to run. */
  entry: string;
  args?: string[];
  env: NodeJS.ProcessEnv;
  /** Gets everything the app prints; the log of the start before is kept beside it, as `.1`. */
  logFile: string;
  /** Gets a readable line for each warning and error. */
  say: (line: string) => void;
}

/** An app that runs. */
export interface AppProcess extends Part {
  /** Resolves when the app says that it serves. */
  ready: Promise<void>;
}

const STOP = { signal: 'SIGTERM', patienceMs: 10_000, force: 'SIGKILL' } as const;
const KEPT_LINES = 12;

/**
 * Starts an app. It ends when this process is gone: the channel between them says so. It writes its log by itself and never
 * waits for this process to read it.
 */
export function startAppProcess(options: AppProcessOptions): AppProcess {
  const { name, entry, args = [], env, logFile, say } = options;
  if (existsSync(logFile)) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  const child = fork(entry, args, {
    // malloc and the young generation as in the Dockerfile
    env: { MALLOC_ARENA_MAX: '2', ...env },
    execArgv: ['--enable-source-maps', '--max-semi-space-size=8'],
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const kept: string[] = [];
  const tell = oncePerInterval(say);
  const following = followFile(logFile, (line) => {
    const readable = readableLine(line);
    kept.push(readable.text);
    if (kept.length > KEPT_LINES) kept.shift();
    if (readable.isNotable) tell(`${name}: ${readable.text}`);
  });
  child.once('exit', following.end);
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      if (typeof message === 'object' && 'ready' in message) resolve();
    });
  });
  return { ...partOf(child, name, STOP, () => kept), ready };
}

/** A log line for people: of pino's JSON its level and message, of anything else the line itself. Secrets are masked. */
export function readableLine(line: string): { text: string; isNotable: boolean } {
  let entry: { level?: unknown; msg?: unknown; err?: { message?: unknown } } | undefined;
  try {
    entry = JSON.parse(line) as typeof entry;
  } catch {
    // Not a log line of ours; shown as it is.
  }
  if (typeof entry?.msg !== 'string') return { text: maskSecrets(line), isNotable: false };
  const { message } = entry.err ?? {};
  const cause = typeof message === 'string' && message !== entry.msg ? ` (${message})` : '';
  return {
    text: maskSecrets(`${String(entry.level)}: ${entry.msg}${cause}`).replaceAll(/\s*\n\s*/g, ' '),
    isNotable: ['warn', 'error', 'fatal'].includes(String(entry.level)),
  };
}

/** Passes a line on unless the same one was passed on a moment ago: an outage is told once, not once a request. */
function oncePerInterval(say: (line: string) => void): (line: string) => void {
  const intervalMs = 10_000;
  const saidAtMs = new Map<string, number>();
  return (line) => {
    const now = Date.now();
    if (now - (saidAtMs.get(line) ?? -Infinity) < intervalMs) return;
    if (saidAtMs.size > 1_000) saidAtMs.clear();
    saidAtMs.set(line, now);
    say(line);
  };
}
