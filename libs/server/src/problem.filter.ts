import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  isErrorCode,
  maskSecrets,
  maskUrl,
  PROBLEM_TYPE,
  problemOf,
  type ErrorCode,
  type FieldError,
  type Problem,
} from '#contracts';
import { HUNG_UP_STATUS, isHungUp } from './hung-up.js';
import { isOutage } from './outage.js';
import { MAX_PARAM_LENGTH } from './path-fault.js';
import { pathOf } from './path-of.js';
import { ProblemException } from './problem-exception.js';
import { methodNotAllowed, type MethodsOf } from './routes.js';

/** An error as it is to be told: to the caller, and whether to the log. */
export interface Told {
  code: ErrorCode;
  detail: string;
  errors?: FieldError[] | undefined;
  headers?: Record<string, string>;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Tells the refusals of this route, those of the framework too, in another shape than a problem's. */
    tell?: (reply: FastifyReply, told: Told) => void;
  }
}

/**
 * Turns whatever is thrown into an RFC 9457 problem: Keyward's own, Nest's, Fastify's, and anything unforeseen, which is
 * told to the log whole and to the caller as INTERNAL_ERROR. An unreachable database or cache is 503 with Retry-After.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly methodsOf: MethodsOf) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    // What is wrong with a request as such is wrong at every address.
    const isNotFound = request.is404 && !(error instanceof ProblemException);
    const told = isNotFound ? this.notFound(request) : toldOf(error);
    if (told.code === 'BODY_TOO_LARGE') told.detail = mostOf(request);
    // of what Keyward itself refuses the code is known, of what the framework does not
    const isOurs = (error as Partial<HttpException>).errorCode !== undefined;
    if (told.code === 'UNSUPPORTED_MEDIA_TYPE' && !isOurs) told.detail = ONE_TYPE;
    sendProblem(request, reply, told, error);
  }

  private notFound(request: FastifyRequest): Told {
    const methods = this.methodsOf(pathOf(request));
    if (methods.length === 0)
      return { code: 'NOT_FOUND', detail: 'There is nothing at this address' };
    return toldOf(methodNotAllowed(methods));
  }
}

/** Answers a request with a problem; 5xx are logged with their cause. For places outside Nest's own error handling. */
export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  told: Told,
  cause?: unknown,
): void {
  if (isHungUp(request.raw)) return leave(request, reply);
  const fixed = problemOf(told.code);
  if (fixed.status >= 500) request.log.error({ err: behind(cause), code: told.code }, told.detail);
  // Who is still sending would see a broken connection, not the answer. Node reads the rest away, in the time that a request has.
  if (told.code === 'BODY_TOO_LARGE') reply.removeHeader('connection');
  const { tell } = request.routeOptions?.config ?? {};
  if (tell !== undefined) return tell(reply, told);
  const body: Problem = {
    ...fixed,
    detail: maskSecrets(told.detail),
    instance: maskUrl(pathOf(request)),
    requestId: request.id,
    ...(told.errors && { errors: told.errors }),
  };
  reply.raw.statusCode = fixed.status;
  void reply
    .status(fixed.status)
    .headers({ 'cache-control': 'no-store', ...told.headers })
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(body));
}

/** What led to a problem: the problem itself says no more than is told anyway. */
function behind(error: unknown): unknown {
  return error instanceof ProblemException ? (error.cause ?? error) : error;
}

/** Nobody reads an answer. What the socket says of it is also what a database that is away says. */
function leave(request: FastifyRequest, reply: FastifyReply): void {
  request.log.info({ status: HUNG_UP_STATUS }, 'The caller left before its request ended');
  reply.hijack();
}

/** How an error is told to the caller. */
export function toldOf(error: unknown): Told {
  if (error instanceof ProblemException) {
    return {
      code: codeOf(error),
      detail: error.message,
      errors: error.errors,
      headers: error.headers,
    };
  }
  if (error instanceof HttpException) {
    return { code: codeOf(error), detail: error.message, headers: retryOf(error.getStatus()) };
  }
  if (isOutage(error)) {
    return {
      code: 'SERVICE_UNAVAILABLE',
      detail: 'A part that this needs does not answer; try again shortly',
      headers: retryOf(503),
    };
  }
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500)
    return toldOfFastify(error as Error, status);
  return {
    code: 'INTERNAL_ERROR',
    detail: 'This is a fault of ours; name the requestId when you report it',
  };
}

const BY_STATUS: Record<number, ErrorCode> = {
  400: 'INVALID_REQUEST',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  406: 'NOT_ACCEPTABLE',
  408: 'REQUEST_TIMEOUT',
  409: 'CONFLICT',
  412: 'VERSION_MISMATCH',
  413: 'BODY_TOO_LARGE',
  414: 'URI_TOO_LONG',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  417: 'EXPECTATION_FAILED',
  429: 'TOO_MANY_REQUESTS',
  431: 'HEADERS_TOO_LARGE',
  503: 'SERVICE_UNAVAILABLE',
};

function codeOf(error: HttpException): ErrorCode {
  if (isErrorCode(error.errorCode)) return error.errorCode;
  const status = error.getStatus();
  return BY_STATUS[status] ?? (status < 500 ? 'INVALID_REQUEST' : 'INTERNAL_ERROR');
}

function retryOf(status: number): Record<string, string> {
  return status === 503 ? { 'retry-after': '1' } : {};
}

const KIB = 1_024;
const MIB = KIB * KIB;

const FASTIFY_DETAILS: Partial<Record<ErrorCode, string>> = {
  INVALID_REQUEST: 'The request could not be read',
  UNSUPPORTED_MEDIA_TYPE: 'Send the body as application/json',
  URI_TOO_LONG: `Use at most ${MAX_PARAM_LENGTH} characters in each part of the path`,
};

function toldOfFastify(error: Error, status: number): Told {
  const invalidJson = /JSON|FST_ERR_CTP_EMPTY_JSON_BODY/.test(
    `${(error as { code?: string }).code ?? ''} ${error.message}`,
  );
  if (status === 400 && invalidJson)
    return { code: 'INVALID_JSON', detail: 'Send one valid JSON value as the body' };
  const code = BY_STATUS[status] ?? 'INVALID_REQUEST';
  return { code, detail: FASTIFY_DETAILS[code] ?? problemOf(code).title };
}

const ONE_TYPE = 'Name one media type as content-type, such as application/json';

/** Routes differ in what they take. */
function mostOf({ routeOptions }: FastifyRequest): string {
  const bytes = routeOptions.bodyLimit;
  const most = bytes < MIB ? `${bytes / KIB} KiB` : `${bytes / MIB} MiB`;
  return `Send at most ${most} as the body`;
}
