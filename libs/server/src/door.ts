import { isAscii } from 'node:buffer';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, preParsingHookHandler } from 'fastify';
import { leavesNoRoom, repeatedMember } from './repeated-member.js';
import { checkRequest, requestIdOf } from './request-checks.js';

const JSON_TYPES = new Set(['application/json', 'application/json; charset=utf-8']);
const DIGITS = /^[1-9]\d{0,8}$/;
const MAX_BODY = 64 * 1_024;
const BACKSLASH = 0x5c;

/** A request at a door, whose body is ASCII without escapes. */
export interface Knock<Caller> {
  request: IncomingMessage;
  caller: Caller;
  /** The body as JSON.parse reads it, where no member is named twice; nothing else was checked. @throws SyntaxError */
  read: () => unknown;
}

/**
 * Called once: with the text of a good answer, or null and what went wrong, which is then told as any error of a route, or null
 * alone, which leaves the request to the route after all.
 */
export type OnAnswer = (text: string | null, error?: unknown) => void;

/** A door to the POST route of one path, for the usual among its requests. */
export interface Door<Caller> {
  path: string;
  /** Who asks, by the headers alone; null where only the route can tell. */
  admit: (request: IncomingMessage) => Caller | null;
  /** @returns whether it answers; where it does not, or throws, the route does */
  answer: (knock: Knock<Caller>, done: OnAnswer) => boolean;
}

/** A request that the route gets after its door has read the body. */
interface Passed {
  body: Buffer;
  error?: unknown;
}

/** What all doors of a server stand in. */
interface House {
  toFastify: RequestListener;
  isClosing: boolean;
}

const VISIT = Symbol('visit');
const PASSED = Symbol('passed');
type Visited = IncomingMessage & { [VISIT]?: Visit; [PASSED]?: Passed };

/**
 * Answers the usual requests of some routes before Fastify sees them, as what Fastify and Nest do for a request costs more
 * there than the answer itself. Whatever is not usual, or goes wrong, is left to the route, which must be there with
 * {@link passedOn} as its `preParsing`: a door only ever says 200, with the same headers.
 */
export function openDoors(fastify: FastifyInstance, doors: readonly Door<unknown>[]): void {
  const { server } = fastify;
  const byPath = new Map(doors.map((one) => [one.path, one]));
  const toFastify = server.listeners('request').at(-1) as RequestListener;
  const house = { toFastify, isClosing: false };
  server.removeListener('request', toFastify);
  server.on('request', (request: Visited, response) => {
    const door = request.method === 'POST' ? byPath.get(request.url!) : undefined;
    const caller = door !== undefined && isUsual(request) ? door.admit(request) : null;
    if (door === undefined || caller === null) return toFastify(request, response);
    request[VISIT] = new Visit(house, door, caller, response);
    request.on('data', take);
  });
  fastify.addHook('preClose', (done) => {
    byPath.clear();
    house.isClosing = true;
    done();
  });
}

/** Reads the body that a door has read already, or fails as it did there. */
export const passedOn: preParsingHookHandler = (request, _reply, payload, done) => {
  const passed = (request.raw as Visited)[PASSED];
  if (passed === undefined) done(null, payload);
  else if (passed.error !== undefined) done(passed.error as Error);
  else done(null, Readable.from([passed.body], { objectMode: false }));
};

/** Whether nothing of a request but its body could be refused, or asks for another treatment than others get. */
function isUsual(request: IncomingMessage): boolean {
  const { headers, httpVersion } = request;
  const length = headers['content-length'] ?? '';
  if (httpVersion !== '1.1' || headers['transfer-encoding'] !== undefined) return false;
  if (!JSON_TYPES.has(headers['content-type'] ?? '')) return false;
  if (!DIGITS.test(length) || Number(length) > MAX_BODY) return false;
  try {
    checkRequest(request);
    return true;
  } catch {
    return false;
  }
}

/** The rest of a body's rules is for the route, which names what is wrong. */
function readPlain(json: string): unknown {
  const value: unknown = JSON.parse(json);
  if (!leavesNoRoom(json, value) && repeatedMember(json) !== null)
    throw new SyntaxError('A member is named twice');
  return value;
}

/** One function for all requests, as there is a listener for each. */
function take(this: Visited, chunk: Buffer): void {
  this[VISIT]!.take(this, chunk);
}

/** A request at a door while its body comes in. */
class Visit {
  private readonly chunks: Buffer[] = [];
  private missing: number | null = null;

  constructor(
    private readonly house: House,
    private readonly door: Door<unknown>,
    private readonly caller: unknown,
    private readonly response: ServerResponse,
  ) {}

  take(request: Visited, chunk: Buffer): void {
    this.missing ??= Number(request.headers['content-length']);
    this.missing -= chunk.length;
    this.chunks.push(chunk);
    if (this.missing > 0) return;
    const bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks);
    request.removeListener('data', take);
    if (!this.isAnswered(request, bytes)) this.passOn(request, { body: Buffer.from(bytes) });
  }

  private isAnswered(request: Visited, bytes: Buffer): boolean {
    const { door, caller } = this;
    if (!isAscii(bytes) || bytes.includes(BACKSLASH)) return false;
    try {
      const read = (): unknown => readPlain(bytes.toString('latin1'));
      return door.answer({ request, caller, read }, (text, error) => {
        if (text === null) this.passOn(request, { body: bytes, error });
        else this.send(requestIdOf(request), text);
      });
    } catch {
      return false;
    }
  }

  private passOn(request: Visited, passed: Passed): void {
    request[PASSED] = passed;
    this.house.toFastify(request, this.response);
  }

  private send(requestId: string, text: string): void {
    const { response, house } = this;
    // its connection is gone
    if (response.destroyed) return;
    const bytes = Buffer.byteLength(text);
    const headers = [
      'x-request-id',
      requestId,
      'x-content-type-options',
      'nosniff',
      'cache-control',
      'no-store',
      'content-type',
      'application/json; charset=utf-8',
      'content-length',
      String(bytes),
    ];
    if (house.isClosing) headers.push('connection', 'close');
    response.writeHead(200, headers);
    response.end(text, bytes === text.length ? 'latin1' : 'utf8');
  }
}
