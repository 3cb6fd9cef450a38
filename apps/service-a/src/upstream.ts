import type { z } from 'zod';
import { isErrorCode, problem, PROBLEMS, type FieldError, type Problem } from '#contracts';
import { ProblemException } from '#server';

/** A service that requests are forwarded to. */
export interface UpstreamOptions {
  /** Name for the log. */
  name: string;
  /** Base URLs of its replicas; the next is tried where one cannot be connected to. */
  urls: readonly string[];
  /** Bound of one call, in milliseconds. */
  timeoutMs: number;
}

/** One call. `path` may have a query. */
export interface UpstreamCall {
  method: 'GET' | 'POST';
  path: string;
  headers: Record<string, string>;
  body?: object;
}

/** A good answer. */
export interface UpstreamAnswer<T> {
  data: T;
  headers: Headers;
}

/** Makes calls to one service. */
export interface Upstream {
  /**
   * @param schema what a good answer's body is; undefined where there is none
   * @throws ProblemException the service's own 4xx problem, or that a delivery failed, with its Retry-After and limits; or
   *   SERVICE_UNAVAILABLE when it is away, too slow, failing or not to be understood
   */
  call<S extends z.ZodType>(call: UpstreamCall, schema: S): Promise<UpstreamAnswer<z.output<S>>>;
}

interface Received {
  response: Response;
  body: unknown;
}

/** Prepares calls to a service. No redirect is followed, as it could carry credentials elsewhere. */
export function createUpstream(options: UpstreamOptions): Upstream {
  return {
    async call(call, schema) {
      const received = await receive(options, call).catch((cause: unknown) => {
        throw unavailable(options.name, null, cause);
      });
      if (!received.response.ok) throw refusalOf(options.name, received);
      const parsed = schema.safeParse(received.body);
      if (parsed.success) return { data: parsed.data, headers: received.response.headers };
      throw unavailable(options.name, null, new Error('The answer is not as agreed'));
    },
  };
}

async function receive(
  { urls, timeoutMs }: UpstreamOptions,
  call: UpstreamCall,
): Promise<Received> {
  let fault: unknown;
  for (const url of urls) {
    try {
      return await receiveFrom(url, call, timeoutMs);
    } catch (error) {
      fault = error;
      if (!isUnsent(error)) break;
    }
  }
  throw fault;
}

async function receiveFrom(base: string, call: UpstreamCall, timeoutMs: number): Promise<Received> {
  const response = await fetch(`${base.replace(/\/+$/, '')}${call.path}`, {
    method: call.method,
    headers: {
      ...call.headers,
      accept: 'application/json',
      ...(call.body && { 'content-type': 'application/json' }),
    },
    ...(call.body && { body: JSON.stringify(call.body) }),
    signal: AbortSignal.timeout(timeoutMs),
    redirect: 'error',
  });
  return { response, body: parseJson(await response.text()) };
}

const UNSENT = /^(?:ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;

/** Whether no connection came about, so that the service cannot have done anything. */
function isUnsent(error: unknown): boolean {
  const cause = (error as { cause?: { code?: unknown } } | null)?.cause;
  return typeof cause?.code === 'string' && UNSENT.test(cause.code);
}

function refusalOf(name: string, { response, body }: Received): ProblemException {
  const parsed = problem.safeParse(body);
  const isTheirs = parsed.success && parsed.data.status === response.status;
  if (isTheirs && (response.status < 500 || parsed.data.code.startsWith('DELIVERY_'))) {
    const passed = passedOn(parsed.data, response.headers);
    if (passed !== null) return passed;
  }
  return unavailable(name, response, new Error(`${name} answered ${response.status}`));
}

/** What a refusal says beside its body. */
const PASSED_ON = ['retry-after', 'www-authenticate', 'ratelimit-policy', 'ratelimit'];

function passedOn(theirs: Problem, headers: Headers): ProblemException | null {
  const { code, status, detail, errors } = theirs;
  if (!isErrorCode(code) || PROBLEMS[code].status !== status) return null;
  return new ProblemException(code, detail, {
    // a later release may know another code
    ...(errors && { errors: errors as FieldError[] }),
    headers: Object.assign({}, ...PASSED_ON.map((name) => pick(headers, name))) as Record<
      string,
      string
    >,
  });
}

function unavailable(name: string, response: Response | null, cause: unknown): ProblemException {
  const headers = response === null ? {} : pick(response.headers, 'retry-after');
  return new ProblemException('SERVICE_UNAVAILABLE', `${name} cannot answer; try again shortly`, {
    headers: { 'retry-after': '1', ...headers },
    cause,
  });
}

function pick(headers: Headers, name: string): Record<string, string> {
  const value = headers.get(name);
  return value === null ? {} : { [name]: value };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
