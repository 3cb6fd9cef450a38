import { parse as parseSafely } from 'secure-json-parse';
import type { FastifyInstance } from 'fastify';
import { ProblemException } from './problem-exception.js';

const MAX_DEPTH = 20;
/** RFC 8259, section 8.1: nobody adds one. */
const BYTE_ORDER_MARK = '\uFEFF';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads bodies: `application/json` in UTF-8 everywhere, `application/x-www-form-urlencoded` on `formPaths` only, anything
 * else is 415. JSON that nests deeper than 20, holds NUL or lone surrogates, or names `__proto__` or
 * `constructor.prototype` is refused before any schema sees it.
 */
export function registerBodies(fastify: FastifyInstance, formPaths: ReadonlySet<string>): void {
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(
        request.headers['content-type'] ?? '',
      )?.[1];
      if (formPaths.has(pathOf(request.url)) || (charset && !/^utf-?8$/i.test(charset)))
        throw unsupported(formPaths, request.url);
      done(null, readJson(body as Buffer));
    } catch (error) {
      done(error as Error);
    }
  });
  if (formPaths.size === 0) return;
  fastify.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (request, body, done) => {
      if (!formPaths.has(pathOf(request.url))) return done(unsupported(formPaths, request.url));
      try {
        done(null, readForm(body as string));
      } catch (error) {
        done(error as Error);
      }
    },
  );
}

/** @throws ProblemException INVALID_JSON or INVALID_REQUEST, never with a piece of the text. */
export function readJson(bytes: Buffer): unknown {
  let value: unknown;
  try {
    const text = utf8.decode(bytes);
    if (text.startsWith(BYTE_ORDER_MARK))
      throw new SyntaxError('JSON begins without a byte order mark');
    value = parseSafely(text);
  } catch (cause) {
    throw new ProblemException('INVALID_JSON', 'Send one valid JSON value in UTF-8 as the body', {
      cause,
    });
  }
  const fault = faultOf(value, 1);
  if (fault !== null) throw new ProblemException('INVALID_REQUEST', fault);
  return value;
}

function readForm(text: string): Record<string, string> {
  const form: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in form) throw new ProblemException('INVALID_REQUEST', 'Send each form field once');
    const fault = faultOf(value, 1) ?? faultOf(name, 1);
    if (fault !== null) throw new ProblemException('INVALID_REQUEST', fault);
    form[name] = value;
  }
  return { ...form };
}

function unsupported(formPaths: ReadonlySet<string>, url: string): ProblemException {
  const wanted = formPaths.has(pathOf(url))
    ? 'application/x-www-form-urlencoded'
    : 'application/json in UTF-8';
  return new ProblemException('UNSUPPORTED_MEDIA_TYPE', `Send the body as ${wanted}`);
}

function faultOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string')
    return isCleanText(value) ? null : 'Text may not hold NUL or lone surrogates';
  if (typeof value !== 'object' || value === null) return null;
  if (depth > MAX_DEPTH) return `Nest the body at most ${MAX_DEPTH} levels deep`;
  for (const [name, item] of Object.entries(value)) {
    const fault = faultOf(name, depth) ?? faultOf(item, depth + 1);
    if (fault !== null) return fault;
  }
  return null;
}

function isCleanText(text: string): boolean {
  return !text.includes('\0') && (text as string & { isWellFormed(): boolean }).isWellFormed();
}

function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}
