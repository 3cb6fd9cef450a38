import { connect, type Socket } from 'node:net';

/** Load of one slice on keep-alive connections that each have one request under way at most. */
export interface LoadOptions {
  port: number;
  connections: number;
  forMs: number;
  /** The request with a number; whole, headers included. Prepared beforehand, so that the generator costs little. */
  request: (n: number) => Buffer;
  /** What a good answer holds, all of it. */
  expected: readonly string[];
  /** So many a second, whatever the answers take; without it as many as go. */
  perSecond?: number;
}

/** What came of it; latencies in milliseconds. */
export interface LoadResult {
  perSecond: number;
  /** Share of the answers that were as expected, 0 to 1. */
  goodShare: number;
  /** The first that was not. */
  firstOther: string | undefined;
  p50Ms: number;
  p99Ms: number;
  /** Of every answer, in order of size. */
  latencies: readonly number[];
  /** The last answer. */
  last: string;
}

/** Sends load for a while. With `perSecond` waiting for a free connection counts as latency. @throws where a connection breaks */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const lines = await Promise.all(
    Array.from({ length: options.connections }, () => open(options.port)),
  );
  const seen: Seen = { latencies: [], others: 0, firstOther: undefined, last: '' };
  const startMs = performance.now();
  const send = options.perSecond === undefined ? sendAtOnce : sendWhenDue;
  try {
    await send(options, lines, seen);
  } finally {
    for (const { socket } of lines) socket.destroy();
  }
  const seconds = (performance.now() - startMs) / 1_000;
  const latencies = seen.latencies.toSorted((a, b) => a - b);
  return {
    perSecond: latencies.length / seconds,
    goodShare: 1 - seen.others / Math.max(1, latencies.length),
    firstOther: seen.firstOther,
    p50Ms: quantileOf(latencies, 0.5),
    p99Ms: quantileOf(latencies, 0.99),
    latencies,
    last: seen.last,
  };
}

/** That below which a share of sorted figures is; Infinity where there are none. */
export function quantileOf(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? Infinity;
}

interface Seen {
  latencies: number[];
  others: number;
  firstOther: string | undefined;
  last: string;
}

function note(seen: Seen, sinceMs: number, answer: string, { expected }: LoadOptions): void {
  seen.latencies.push(performance.now() - sinceMs);
  seen.last = answer;
  if (answer.startsWith('HTTP/1.1 200') && expected.every((text) => answer.includes(text))) return;
  seen.others += 1;
  seen.firstOther ??= answer;
}

/** Each connection sends the next request when the last answer is whole. */
async function sendAtOnce(options: LoadOptions, lines: Line[], seen: Seen): Promise<void> {
  const endMs = performance.now() + options.forMs;
  let sent = 0;
  const runLine = (line: Line): Promise<void> =>
    new Promise((resolve, reject) => {
      const next = (): void => {
        const sentMs = performance.now();
        if (sentMs >= endMs) return resolve();
        line.ask(options.request(sent++), (error, answer) => {
          if (error) return reject(error);
          note(seen, sentMs, answer, options);
          next();
        });
      };
      next();
    });
  await Promise.all(lines.map(runLine));
}

/**
 * Once a millisecond, all requests that are due by then; those that find no free connection wait for one, and that counts. Connections
 * take turns, so that none is idle for so long that the server ends it.
 */
function sendWhenDue(options: LoadOptions, lines: Line[], seen: Seen): Promise<void> {
  const startMs = performance.now();
  const total = Math.max(1, Math.floor((options.forMs * options.perSecond!) / 1_000));
  const free = [...lines];
  const waitingSinceMs: number[] = [];
  let due = 0;
  let sent = 0;
  return new Promise((resolve, reject) => {
    const sendWaiting = (): void => {
      while (free.length > 0 && sent < waitingSinceMs.length) send(free.shift()!);
    };
    const send = (line: Line): void => {
      const sinceMs = waitingSinceMs[sent]!;
      line.ask(options.request(sent++), (error, answer) => {
        if (error) return finish(error);
        free.push(line);
        note(seen, sinceMs, answer, options);
        if (seen.latencies.length === total) return finish();
        sendWaiting();
      });
    };
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const dueNow = Math.min(total, ((nowMs - startMs) * options.perSecond!) / 1_000);
      for (; due < dueNow; due += 1) waitingSinceMs.push(nowMs);
      sendWaiting();
    }, 1);
    const finish = (error?: Error | null): void => {
      clearInterval(timer);
      if (error) reject(error);
      else resolve();
    };
  });
}

type OnAnswer = (error: Error | null, answer: string) => void;

interface Line {
  socket: Socket;
  /** Sends a request and calls back when its answer is whole. */
  ask: (request: Buffer, done: OnAnswer) => void;
}

function open(port: number): Promise<Line> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let done: OnAnswer = reject;
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => {
      text = text === '' ? data : text + data;
      if (!isWhole(text)) return;
      const answer = text;
      text = '';
      done(null, answer);
    });
    socket.once('error', (error) => done(error, ''));
    socket.once('end', () => done(new Error('The server ended a connection'), ''));
    socket.once('connect', () =>
      resolve({
        socket,
        ask: (request, callBack) => {
          done = callBack;
          socket.write(request);
        },
      }),
    );
  });
}

function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const at = text.indexOf('content-length: ') + 'content-length: '.length;
  const length = Number(text.slice(at, text.indexOf('\r\n', at)));
  return text.length >= headEnd + 4 + length;
}

/** A whole request: a POST with a JSON body where there is one, else a GET. */
export function requestOf(
  path: string,
  { token, body, headers = {} }: { token: string; body?: unknown; headers?: object },
): Buffer {
  const text = body === undefined ? '' : JSON.stringify(body);
  const all = {
    host: '127.0.0.1',
    authorization: `Bearer ${token}`,
    ...(body !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
    }),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(
    `${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n${lines.join('')}\r\n${text}`,
  );
}
