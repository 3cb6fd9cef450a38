import { isIPv4, isIPv6 } from 'node:net';
import type { LeaseWish, ScopeRequirement, TracedRequest, Verdict, VerifyBody } from '#contracts';
import type { GuardSettings } from './options.js';

/** A presented key and what it must be good for. */
export interface KeyQuestion {
  key: string;
  scopes?: ScopeRequirement | undefined;
  /** Address of the caller; what is none is left out, and then a key with a list of addresses is refused. */
  clientIp?: string | undefined;
  /** The request that it came with, for tracing. */
  from?: TracedRequest | undefined;
}

/** A question on its way to the key service. */
export interface OpenQuestion {
  question: KeyQuestion;
  /** Units to be leased beside the verdict, asked for when the question is sent; null where no lease is wished. */
  permits: (() => number) | null;
  /** Whether the guard counts its use itself; only beside a lease. */
  isCounted?: boolean;
}

/** An answer of the key service, and since when it holds: by the clock of `performance.now()`, when the question was sent. */
export interface Answered {
  verdict: Verdict;
  sentAtMs: number;
}

/** The body of a question as it is sent. */
export function bodyOfQuestion(
  { question, permits, isCounted = false }: OpenQuestion,
  own: Pick<GuardSettings, 'service' | 'environment'>,
): VerifyBody {
  const { key, scopes, clientIp } = question;
  return {
    key,
    ...own,
    ...(scopes !== undefined && { scopes }),
    ...(clientIp !== undefined && { clientIp }),
    ...(permits !== null && { lease: wishOf(permits(), isCounted) }),
  };
}

function wishOf(permits: number, isCounted: boolean): LeaseWish {
  const wish = { permits: Math.max(0, Math.min(1_000, permits)) };
  return isCounted ? { ...wish, counted: true } : wish;
}

/** An address as key services read it: without the zone, which means something on this machine only. */
export function addressOf(ip: string | undefined): string | undefined {
  if (ip === undefined) return undefined;
  const zone = ip.indexOf('%');
  const address = zone < 0 ? ip : ip.slice(0, zone);
  return isIPv4(address) || isIPv6(address) ? address : undefined;
}
