import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { createConnection } from 'node:net';

/** One request exactly as it is to be sent: nothing of it is made right on the way. */
export interface RawRequest {
  method: string;
  /** Request target as it stands in the first line. */
  path: string;
  /** Names and values in their order; a name may come twice. */
  headers?: readonly (readonly [string, string])[];
  body?: string | Buffer;
  /** Sends the body in chunks, without its length. */
  chunked?: boolean;
}

/** What came back. */
export interface RawAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

const TIMEOUT_MS = 15_000;
const agent = new Agent({ keepAlive: true, maxSockets: 8 });

/**
 * Sends a request to a service.
 *
 * @throws Error when the connection breaks before there is an answer
 */
export function sendRaw(base: string, sent: RawRequest): Promise<RawAnswer> {
  const { hostname, port, host } = new URL(base);
  const { method, path, headers = [], body, chunked = false } = sent;
  const length = String(Buffer.byteLength(body ?? ''));
  // Node adds a coding of its own where neither is there.
  const hasLength = !chunked && (body !== undefined || !['GET', 'HEAD'].includes(method));
  const all = [
    ['host', host] as const,
    ...headers,
    ...(hasLength ? [['content-length', length] as const] : []),
    ...(chunked ? [['transfer-encoding', 'chunked'] as const] : []),
  ];
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { agent, hostname, port, method, path, headers: all.flat(), timeout: TIMEOUT_MS },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.on('timeout', () => outgoing.destroy(new Error('No answer in time')));
    outgoing.end(body);
  });
}

/** Closes the connections that {@link sendRaw} keeps. */
export function closeRaw(): void {
  agent.destroy();
}

/** All that a service writes on one connection, and whether it then closed it. */
export interface SocketAnswer {
  text: string;
  closed: boolean;
}

/**
 * Writes bytes to a service and reads until it closes the connection, or says nothing for `idleMs`.
 *
 * @param bytes latin1 where it is text
 */
export function sendBytes(
  base: string,
  bytes: string | Buffer,
  idleMs = 2_000,
): Promise<SocketAnswer> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve) => {
    const socket = createConnection({ host: hostname, port: Number(port) });
    const chunks: Buffer[] = [];
    const done = (closed: boolean): void => {
      resolve({ text: Buffer.concat(chunks).toString(), closed });
      socket.destroy();
    };
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('close', () => done(true));
    socket.on('error', () => undefined);
    socket.setTimeout(idleMs, () => done(false));
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  });
}

/**
 * Opens a connection, says the beginning of a request, and goes on a byte at a time, never to an end.
 *
 * @returns how long the service bore with it, in milliseconds, and what it said before it hung up
 */
export function sendSlowly(base: string, begin: string): Promise<{ ms: number; text: string }> {
  const { hostname, port } = new URL(base);
  const startedMs = performance.now();
  return new Promise((resolve) => {
    const socket = createConnection({ host: hostname, port: Number(port) });
    let text = '';
    const drip = setInterval(() => socket.write('x'), 1_000);
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(drip);
      resolve({ ms: performance.now() - startedMs, text });
    });
    socket.write(begin);
  });
}

/** The answers on one connection, one after the other; each must say its length. */
export function answersIn(text: string): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let rest = Buffer.from(text); rest.length > 0;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`Not an HTTP answer: ${rest.toString().slice(0, 200)}`);
    const [first = '', ...lines] = rest.subarray(0, end).toString().split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    const bodyEnd = end + 4 + Number(headers['content-length'] ?? NaN);
    if (Number.isNaN(bodyEnd)) throw new Error(`An answer without a length: ${first}`);
    answers.push({ status, headers, text: rest.subarray(end + 4, bodyEnd).toString() });
    rest = rest.subarray(bodyEnd);
  }
  return answers;
}
