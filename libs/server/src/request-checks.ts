import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { holdsSecret, looksSecret, maskSecrets, maskUrl, urlHoldsSecret } from '#contracts';
import { pointerOf } from './pointer.js';
import { invalidField, ProblemException } from './problem-exception.js';
import { faultOfEncoded } from './text-fault.js';

const MAX_HEADERS = 100;
/** Headers that may come once, each with a bit of its own. */
const ONCE = new Map(
  [
    'x-api-key',
    'authorization',
    'x-actor-token',
    'idempotency-key',
    'if-match',
    'content-type',
    'host',
  ].map((name, place) => [name, 1 << place]),
);
const SHORTEST_SECRET = 20;
/** For a request whose end cannot be told, or whose parts contradict each other. */
const CLOSING = { headers: { connection: 'close' } };

/**
 * What is wrong with a request before any route sees it: more than 100 headers, a credential header sent twice or holding
 * a list, bytes that are not visible ASCII in `x-api-key`, a key or token in the address, a cookie, or `idempotency-key`, which
 * is kept, NUL or bad percent-encoding in the query, a compressed body; no host or several, or a transfer coding that Node does not read: then it
 * cannot be told where the request ends, and the connection is closed.
 *
 * @throws ProblemException INVALID_HEADER, KEY_IN_WRONG_PLACE, INVALID_REQUEST or UNSUPPORTED_MEDIA_TYPE
 */
export function checkRequest(request: IncomingMessage): void {
  const raw = request.rawHeaders;
  if (raw.length > MAX_HEADERS * 2)
    throw new ProblemException('INVALID_HEADER', `Send at most ${MAX_HEADERS} headers`);
  let seen = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    const bit = ONCE.get(name) ?? 0;
    if ((seen & bit) !== 0)
      throw new ProblemException('INVALID_HEADER', `Send the header ${name} once`, CLOSING);
    seen |= bit;
  }
  checkFraming(request);
  const key = request.headers['x-api-key'];
  if (key !== undefined && /[^\x21-\x7e ]|,/.test(key as string)) {
    throw new ProblemException(
      'INVALID_HEADER',
      'Send one API key of letters, digits and underscores in x-api-key',
    );
  }
  checkIdempotencyKey(request.headers['idempotency-key']);
  checkOthers(request);
  checkUrl(request.url ?? '');
}

function checkFraming({ headers, httpVersion }: IncomingMessage): void {
  if (headers.host === undefined && httpVersion === '1.1')
    throw new ProblemException('INVALID_HEADER', 'Send the header host', CLOSING);
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && !/^chunked$/i.test(coding))
    throw new ProblemException('INVALID_HEADER', 'Use no transfer coding but chunked', CLOSING);
}

/** It is kept for a day, and people take for it what they have at hand. */
function checkIdempotencyKey(name: string | string[] | undefined): void {
  if (name === undefined || !holdsSecret(String(name))) return;
  throw new ProblemException(
    'INVALID_HEADER',
    'Make up a name for idempotency-key; treat the key or token in it as leaked and replace it',
  );
}

function checkUrl(url: string): void {
  const start = url.indexOf('?');
  if (start < 0 && !url.includes('%') && url.length < SHORTEST_SECRET) return;
  if (maskUrl(url) !== url && urlHoldsSecret(url)) {
    throw new ProblemException(
      'KEY_IN_WRONG_PLACE',
      'Send keys and tokens in headers, passwords in a body; treat the one in this address as leaked and replace it',
    );
  }
  if (start >= 0 && url.includes('%')) checkQuery(url.slice(start + 1));
}

/** Node and Fastify read bad percent-encoding as it stands, and so would find something else than was meant. */
function checkQuery(query: string): void {
  for (const part of query.split('&')) {
    const end = part.indexOf('=');
    const name = end < 0 ? part : part.slice(0, end);
    const inName = faultOfEncoded(name);
    if (inName !== null) throw new ProblemException('INVALID_REQUEST', `Query: ${inName}`);
    const inValue = end < 0 ? null : faultOfEncoded(part.slice(end + 1));
    if (inValue !== null) throw invalidField(pointerOf([decodeURIComponent(name)]), inValue);
  }
}

/** What else may carry a credential, or must not be there. */
function checkOthers({ headers }: IncomingMessage): void {
  if (headers.cookie !== undefined && looksSecret(headers.cookie)) {
    throw new ProblemException(
      'KEY_IN_WRONG_PLACE',
      'Send keys and tokens in their headers, not in a cookie',
    );
  }
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new ProblemException('UNSUPPORTED_MEDIA_TYPE', 'Send the body uncompressed');
  }
}

/** The caller's `X-Request-Id` where it is 1 to 128 visible ASCII characters and holds no secret, else a new UUID. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  const usable =
    typeof given === 'string' && /^[\x21-\x7e]{1,128}$/.test(given) && maskSecrets(given) === given;
  return usable ? given : randomUUID();
}
