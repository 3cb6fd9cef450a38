import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PROBLEM_TYPE, problemOf, type ErrorCode } from '#contracts';
import { requestIdOf } from './request-checks.js';

/** Headers of every answer, whoever gives it. */
export function commonHeaders(requestId: string): Record<string, string> {
  return {
    'x-request-id': requestId,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  };
}

/**
 * A connection: its requests that are not answered yet, and the answer to the last one until both are whole. Kept for as long as the
 * connection has nothing to do, it would grow old, and with it all that was made for it.
 */
interface Line {
  open: number;
  last?: ServerResponse | undefined;
  /** Called after each answer. */
  onAnswer?: () => void;
  isRefused?: true;
}

const LINE = Symbol('line');
type LinedSocket = Socket & { [LINE]?: Line };

/**
 * Gives the answers of requests that Node would refuse by itself and without a word: an expectation that nobody can meet, and
 * a tunnel. Keeps count of what is under way on a connection, for {@link refuseSocket}.
 */
export function answerForNode(server: Server): void {
  server.prependListener('request', count);
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const { status, headers, body } = refusalOf('EXPECTATION_FAILED', requestIdOf(request));
    response.writeHead(status, headers).end(body);
  });
  server.on('connect', (request, socket) => {
    socket.end(textOf(refusalOf('METHOD_NOT_ALLOWED', requestIdOf(request)), { allow: '' }));
  });
}

/**
 * Answers what Node's parser refused: there is no request yet, only a connection. It is ended, after the answers to the
 * requests that came before on it, so that each answer belongs to its request.
 */
export function refuseSocket(error: NodeJS.ErrnoException, socket: Socket): void {
  const line = lineOf(socket);
  if (line.isRefused) return;
  line.isRefused = true;
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  // The body of the last request may be what is wrong. Where that is answered already, nothing is to be said twice.
  const isOfLast = line.last?.req.complete === false;
  if (isOfLast && line.last?.headersSent) return socket.destroySoon();
  const refuse = (): void => {
    if (line.open > (isOfLast ? 1 : 0) || !socket.writable) return;
    delete line.onAnswer;
    const requestId = requestIdOf({ headers: {} } as never);
    socket.end(textOf(refusalOf(codeOf(error), requestId, UNREADABLE[error.code ?? ''])));
  };
  line.onAnswer = refuse;
  refuse();
}

function count(request: IncomingMessage, response: ServerResponse): void {
  const line = lineOf(request.socket);
  line.open += 1;
  line.last = response;
  response.on('close', uncount);
}

/** Called on the response, which ends once. One function for all, as there is one of these for each request. */
function uncount(this: ServerResponse): void {
  const line = lineOf(this.req.socket);
  line.open -= 1;
  if (line.last === this) {
    if (this.req.complete) line.last = undefined;
    else this.req.once('close', forget);
  }
  line.onAnswer?.();
}

/** Called on a request that was answered before its end had come. */
function forget(this: IncomingMessage): void {
  const line = lineOf(this.socket);
  if (line.last?.req === this) line.last = undefined;
}

function lineOf(socket: LinedSocket): Line {
  socket[LINE] ??= { open: 0 };
  return socket[LINE];
}

function codeOf({ code }: NodeJS.ErrnoException): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'HEADERS_TOO_LARGE';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'REQUEST_TIMEOUT' : 'INVALID_REQUEST';
}

/** What would be right. */
const DETAILS: Partial<Record<ErrorCode, string>> = {
  HEADERS_TOO_LARGE: 'Send at most 16 KiB of address and headers',
  REQUEST_TIMEOUT:
    'Send the whole request within the time that it is given, and as many bytes of a body as its headers name',
  EXPECTATION_FAILED: 'Send the request without Expect, or with 100-continue',
  METHOD_NOT_ALLOWED: 'There are no tunnels here; send the request itself',
};

const LINE_ENDS =
  'End each header, and each length of a chunk, with CR and LF together, and leave both out of its value';

/** The same of what Node's parser cannot read, by its codes. */
const UNREADABLE: Record<string, string> = {
  HPE_INVALID_METHOD: 'Send the request over HTTP, with a method that it knows, in capitals',
  HPE_INVALID_URL:
    'Send a path that begins with a slash, with what is not ASCII in it percent-encoded',
  HPE_INVALID_CONSTANT: 'Percent-encode spaces in the address',
  HPE_INVALID_VERSION: 'Send the request as HTTP/1.1',
  HPE_INVALID_HEADER_TOKEN: 'Send headers of visible characters, each on one line',
  HPE_CR_EXPECTED: LINE_ENDS,
  HPE_LF_EXPECTED: LINE_ENDS,
  HPE_INVALID_TRANSFER_ENCODING:
    'Use no transfer coding but chunked, and no content-length beside it',
  HPE_INVALID_CONTENT_LENGTH: 'Send content-length as one number, and not beside a transfer coding',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'Send content-length once, and not beside a transfer coding',
  HPE_INVALID_EOF_STATE:
    'Send the whole request: it ended within its headers, or before as many bytes of a body as they name',
  HPE_INVALID_CHUNK_SIZE: 'Send the body in the chunks that transfer-encoding says, or whole',
};

function refusalOf(code: ErrorCode, requestId: string, told = DETAILS[code]) {
  const fixed = problemOf(code);
  const detail = told ?? fixed.title;
  const body = JSON.stringify({ ...fixed, detail, instance: '', requestId });
  const headers = {
    ...commonHeaders(requestId),
    'content-type': PROBLEM_TYPE,
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
  };
  return { status: fixed.status, title: fixed.title, headers, body };
}

function textOf(
  { status, title, headers, body }: ReturnType<typeof refusalOf>,
  more: Record<string, string> = {},
): string {
  const lines = Object.entries({ ...headers, ...more }).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${title}`, ...lines, '', body].join('\r\n');
}
