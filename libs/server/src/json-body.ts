import { isAscii } from 'node:buffer';
import { parse as parseSafely } from 'secure-json-parse';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { checkBody } from './body-rules.js';
import { UNDESCRIBED, type TraitsOf } from './described-routes.js';
import { forbiddenMember } from './forbidden-member.js';
import { jsonFault } from './json-fault.js';
import { pointerOf } from './pointer.js';
import { invalidField, ProblemException } from './problem-exception.js';
import { leavesNoRoom, repeatedMember } from './repeated-member.js';
import { faultOfEncoded } from './text-fault.js';
import { unreadBody } from './unread-body.js';

/** RFC 8259, section 8.1: nobody adds one. */
const BYTE_ORDER_MARK = '\uFEFF';
const BACKSLASH = 0x5c;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Routes whose bodies are unlike those of others, by their path. */
export interface BodyPaths {
  /** They take a form instead of JSON. */
  formPaths: ReadonlySet<string>;
  /** Their bodies may hold keys, as they ask about them. */
  keyPaths: ReadonlySet<string>;
  /** What is known of the route of a request. */
  traitsOf?: TraitsOf | undefined;
}

/**
 * Reads bodies: `application/json` in UTF-8 everywhere, `application/x-www-form-urlencoded` on `formPaths` only, anything
 * else, or compressed, is 415. What {@link checkBody} refuses, and JSON that names `__proto__` or `constructor.prototype`, is
 * refused before any schema sees it. Where a guard asks first who sends it, and where there is nothing, what is wrong with a body is left
 * in its place, as {@link ProblemException}, for who would read it: but for a key that does not belong there, which is told at once.
 */
export function registerBodies(
  fastify: FastifyInstance,
  { formPaths, keyPaths, traitsOf = () => UNDESCRIBED }: BodyPaths,
): void {
  const refuse = refuser(traitsOf);
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      const charset = /charset\s*=\s*"?([^\s;"]+)/i.exec(
        request.headers['content-type'] ?? '',
      )?.[1];
      if (formPaths.has(routeOf(request)) || (charset && !/^utf-?8$/i.test(charset)))
        throw unsupported(formPaths, request);
      // many clients name the type of a body that they do not send
      const isNone = body.length === 0;
      done(null, isNone ? undefined : readJson(body as Buffer, keyPaths.has(routeOf(request))));
    } catch (error) {
      refuse(request, error, done);
    }
  });
  fastify.addContentTypeParser('*', (request, _body, done) =>
    refuse(request, unsupported(formPaths, request), done),
  );
  if (formPaths.size === 0) return;
  fastify.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (request, body, done) => {
      try {
        if (!formPaths.has(routeOf(request))) throw unsupported(formPaths, request);
        done(null, readForm(body as string, keyPaths.has(routeOf(request))));
      } catch (error) {
        refuse(request, error, done);
      }
    },
  );
}

type Done = (error: Error | null, body?: unknown) => void;

/** Refuses a body at once, or leaves the refusal in its place. */
function refuser(traitsOf: TraitsOf) {
  return (request: FastifyRequest, error: unknown, done: Done): void => {
    const { readsBody, isGuarded } = traitsOf(request);
    const fault = isAboutJson(error) && !readsBody ? unreadBody() : (error as Error);
    const isJudged = fault instanceof ProblemException && fault.errorCode !== 'KEY_IN_WRONG_PLACE';
    if (isJudged && (request.is404 || isGuarded)) done(null, fault);
    else done(fault);
  };
}

function isAboutJson(error: unknown): boolean {
  return error instanceof ProblemException && error.errorCode === 'INVALID_JSON';
}

/** @throws ProblemException INVALID_JSON or INVALID_REQUEST, never with a piece of the text. */
export function readJson(bytes: Buffer, mayHoldKeys = false): unknown {
  // then no text in it can hold NUL or a lone surrogate
  const isPlain = isAscii(bytes) && !bytes.includes(BACKSLASH);
  const text = isPlain ? bytes.toString('latin1') : decoded(bytes);
  const value = parsed(text);
  checkBody(value, { mayHoldKeys, isPlain });
  if (!leavesNoRoom(text, value)) refuseRepeated(text);
  return value;
}

function decoded(bytes: Buffer): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new ProblemException('INVALID_JSON', 'Send the body in UTF-8', { cause });
  }
  if (!text.startsWith(BYTE_ORDER_MARK)) return text;
  throw new ProblemException('INVALID_JSON', 'Send the body without a byte order mark');
}

function parsed(text: string): unknown {
  try {
    return parseSafely(text);
  } catch (cause) {
    const fault = jsonFault(text);
    if (fault === null) throw forbidden(text);
    const detail = `Send one valid JSON value as the body; it ceases to be one at ${fault}`;
    throw new ProblemException('INVALID_JSON', detail, { cause });
  }
}

function forbidden(json: string): ProblemException {
  const detail = 'Leave out __proto__ and constructor.prototype';
  const path = forbiddenMember(json);
  return path === null
    ? new ProblemException('INVALID_REQUEST', detail)
    : invalidField(pointerOf(path), detail);
}

function refuseRepeated(json: string): void {
  const path = repeatedMember(json);
  if (path !== null) throw invalidField(pointerOf(path), 'Name this property once');
}

function readForm(text: string, mayHoldKeys: boolean): Record<string, string> {
  refuseBadEncoding(text);
  const form: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const [name, value] of new URLSearchParams(text)) {
    if (name in form) throw invalidField(pointerOf([name]), 'Send each form field once');
    form[name] = value;
  }
  checkBody(form, { mayHoldKeys });
  return { ...form };
}

/** What is badly encoded would be read as something else. */
function refuseBadEncoding(text: string): void {
  if (!text.includes('%')) return;
  for (const part of text.split('&')) {
    const detail = faultOfEncoded(part);
    const [name] = new URLSearchParams(part).keys();
    if (detail !== null) throw invalidField(pointerOf([name ?? '']), detail);
  }
}

function unsupported(formPaths: ReadonlySet<string>, request: FastifyRequest): ProblemException {
  const wanted = formPaths.has(routeOf(request))
    ? 'application/x-www-form-urlencoded'
    : 'application/json in UTF-8';
  return new ProblemException('UNSUPPORTED_MEDIA_TYPE', `Send the body as ${wanted}`);
}

/** One address can be written in many ways (`%76erify`, or with the host before it): the route that was found is one. */
function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? '';
}
