import { z } from 'zod';
import {
  slug,
  traceHeaders,
  verdict,
  type TracedRequest,
  type Verdict,
  type VerifyBody,
} from '#contracts';
import { exchange } from './exchange.js';
import { TokenUnavailable, type ServiceToken } from './service-token.js';

const verifierOptions = z.strictObject({
  /** Base URLs of the key service's replicas, at least one; when one does not decide, the next is asked. */
  urls: z.array(z.url({ protocol: /^https?$/ })).min(1),
  /** As {@link createServiceToken} makes it. */
  token: z.custom<ServiceToken>((value) => typeof value === 'function', 'must be a function'),
  /** Slug of the service whose routes are guarded: the audience that keys must be granted for. */
  service: slug,
  /** Bound of one question to one replica, in milliseconds. All of them together take at most twice that. */
  timeoutMs: z.number().min(1).max(30_000).default(400),
});

/** Where and as whom keys are verified. */
export type KeyVerifierOptions = z.input<typeof verifierOptions>;

/** A presented key and what it must be good for. */
export type KeyQuestion = Pick<VerifyBody, 'key' | 'scopes' | 'clientIp'> & {
  /** The request that it came with, for tracing. */
  from?: TracedRequest;
};

/** Says whether a key may pass. */
export interface KeyVerifier {
  /** @throws VerificationUnavailable when nobody can decide at present; that is never a verdict on the key */
  verify(question: KeyQuestion): Promise<Verdict>;
}

/** Nobody can say at present whether the key is good. */
export class VerificationUnavailable extends Error {
  override name = 'VerificationUnavailable';
}

/**
 * A verifier that asks the key service about every key. Only a well-formed verdict with status 200 counts; any other
 * answer, and none within the time, is "cannot decide". With one URL a broken connection is tried once more, as a
 * restarting replica closes those it kept alive; slowness is not, so that it is not made worse.
 *
 * @throws Error at once, naming each option that is missing, wrong or unknown
 */
export function createKeyVerifier(options: KeyVerifierOptions): KeyVerifier {
  const { token, service, timeoutMs, ...given } = checked(options);
  const urls = given.urls.map((base) => new URL(`${base.replace(/\/+$/, '')}/v1/keys/verify`));
  let preferred = 0;

  return {
    async verify({ from, ...question }) {
      const body = JSON.stringify({ ...question, service });
      const trace = from === undefined ? {} : traceHeaders(from);
      const endsAtMs = performance.now() + 2 * timeoutMs;
      const ownToken = (refused?: string) => within(endsAtMs, token(refused));
      let fault: unknown;
      for (const index of orderOf(urls.length, preferred)) {
        const leftMs = Math.min(timeoutMs, endsAtMs - performance.now());
        if (leftMs <= 0) break;
        try {
          const ask = { url: urls[index]!, headers: trace, body, timeoutMs: leftMs };
          const decided = await askOne(ask, ownToken);
          preferred = index;
          return decided;
        } catch (error) {
          fault = error;
          if (error instanceof TokenUnavailable) break;
          if (urls.length === 1 && !isBroken(error)) break;
        }
      }
      throw new VerificationUnavailable('The key service gives no verdict', { cause: fault });
    },
  };
}

function checked(options: KeyVerifierOptions): z.output<typeof verifierOptions> {
  const result = verifierOptions.safeParse(options);
  if (result.success) return result.data;
  throw new Error(`Options of the key verifier are wrong:\n${z.prettifyError(result.error)}`);
}

/** Indexes to ask, from the one that answered last; a lone one twice. */
function orderOf(count: number, first: number): number[] {
  if (count === 1) return [0, 0];
  return Array.from({ length: count }, (_, i) => (first + i) % count);
}

async function askOne(ask: Parameters<typeof exchange>[0], token: ServiceToken): Promise<Verdict> {
  const post = async (bearer: string) =>
    exchange({
      ...ask,
      headers: {
        ...ask.headers,
        authorization: `Bearer ${bearer}`,
        'content-type': 'application/json',
      },
    });
  const bearer = await token();
  let answer = await post(bearer);
  if (answer.status === 401) {
    // Login may have changed its keys since: one that is new is worth a second question.
    const fresh = await token(bearer);
    if (fresh !== bearer) answer = await post(fresh);
  }
  const parsed = verdict.safeParse(answer.body);
  if (answer.status !== 200 || !parsed.success)
    throw new Error(`The key service answered ${answer.status} without a verdict`);
  if (parsed.data.valid !== (parsed.data.code === 'VALID'))
    throw new Error('The key service contradicts itself');
  return parsed.data;
}

/** Whether the connection failed; `fetch` says so with a TypeError, and with a DOMException that time was up. */
function isBroken(error: unknown): boolean {
  return (error as { name?: unknown } | null)?.name === 'TypeError';
}

/** @throws TokenUnavailable when the token is not there at `endsAtMs` */
async function within(endsAtMs: number, token: Promise<string>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<never>((_resolve, reject) => {
    const late = () => reject(new TokenUnavailable('The token request takes too long'));
    timer = setTimeout(late, Math.max(0, endsAtMs - performance.now()));
  });
  try {
    return await Promise.race([token, timeUp]);
  } finally {
    clearTimeout(timer);
  }
}
