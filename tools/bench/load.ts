import { connect, type Socket } from 'node:net';

/** Load of one slice: keep-alive connections that each send the next request when the last answer is whole. */
export interface LoadOptions {
  port: number;
  connections: number;
  forMs: number;
  /** The request with a number; whole, headers included. Prepared beforehand, so that the generator costs little. */
  request: (n: number) => Buffer;
  /** At most this many a second, or as many as go. */
  perSecond?: number;
}

/** What came of it; latencies in milliseconds. */
export interface LoadResult {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  errors: number;
}

/** Sends load for a while. An answer that is not 200 is an error; so is a broken connection. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const latencies: number[] = [];
  let errors = 0;
  let sent = 0;
  const startMs = performance.now();
  const endMs = startMs + options.forMs;
  const next = (): Buffer | null => (performance.now() >= endMs ? null : options.request(sent++));
  const onAnswer = (ms: number, ok: boolean): void => {
    if (ok) latencies.push(ms);
    else errors += 1;
  };
  await Promise.all(
    Array.from({ length: options.connections }, (_, place) =>
      runConnection(options, { place, next, onAnswer }),
    ),
  );
  const seconds = (performance.now() - startMs) / 1_000;
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Infinity;
  return { perSecond: latencies.length / seconds, p50Ms: at(0.5), p99Ms: at(0.99), errors };
}

interface Connection {
  place: number;
  next: () => Buffer | null;
  onAnswer: (ms: number, ok: boolean) => void;
}

function runConnection(options: LoadOptions, { place, next, onAnswer }: Connection): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true });
    const gapMs =
      options.perSecond === undefined ? 0 : (options.connections * 1_000) / options.perSecond;
    let sentMs = 0;
    let dueMs = performance.now() + (gapMs * place) / options.connections;
    const send = (): void => {
      const request = next();
      if (request === null) return void socket.end(resolve);
      sentMs = performance.now();
      socket.write(request);
    };
    const sendWhenDue = (): void => {
      if (gapMs === 0) return send();
      dueMs += gapMs;
      setTimeout(send, Math.max(0, dueMs - performance.now()));
    };
    readAnswers(socket, (ok) => {
      onAnswer(performance.now() - sentMs, ok);
      sendWhenDue();
    });
    socket.once('connect', sendWhenDue);
    socket.once('error', reject);
  });
}

/** Calls back once for each whole answer on the socket: head, then as many bytes as `content-length` says. */
function readAnswers(socket: Socket, onAnswer: (ok: boolean) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (data) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    for (;;) {
      const headEnd = rest.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const head = rest.toString('latin1', 0, headEnd);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const end = headEnd + 4 + length;
      if (rest.length < end) return;
      const isOk = head.startsWith('HTTP/1.1 200');
      rest = rest.subarray(end);
      onAnswer(isOk);
    }
  });
}

/** A whole POST request with a JSON body. */
export function post(path: string, body: unknown, token: string): Buffer {
  const text = JSON.stringify(body);
  return Buffer.from(
    `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
