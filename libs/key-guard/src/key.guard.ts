import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost, Reflector } from '@nestjs/core';
import type { TracedRequest, Verdict } from '#contracts';
import { keepVerdict } from './api-key.js';
import { KeyRefused } from './key-refused.js';
import { VerificationUnavailable, type KeyVerifier } from './key-verifier.js';
import { missingKey, refusalOf } from './refusal.js';
import { REQUIRED_SCOPES } from './require-scope.js';
import { headersOf } from './verdict-headers.js';

/** More than any key has, imported ones included. */
const MAX_KEY_CHARACTERS = 1_024;

/** Injection token of the {@link KeyVerifier} that the guard asks. */
export const KEY_VERIFIER = Symbol('KeyVerifier');

type GuardedRequest = TracedRequest & { ip: string };
/** Sets headers of the answer. */
type Say = (headers: Record<string, string>) => void;

/**
 * Lets a request pass whose `x-api-key` is good for the route's scopes. No key is 401, a refused one 403, one over a limit
 * 429, and 503 when nobody can decide. The key is taken from that header only, and not beside `Authorization`: which
 * of two principals calls must not be a guess.
 */
@Injectable()
export class KeyGuard implements CanActivate {
  constructor(
    @Inject(KEY_VERIFIER) private readonly verifier: KeyVerifier,
    private readonly reflector: Reflector,
    private readonly host: HttpAdapterHost,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const scopes = this.scopesOf(context);
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    const say: Say = (headers) => this.setHeaders(context, headers);
    const key = keyOf(request, say);
    const verdict = await this.ask(key, scopes, request).catch((error: unknown) => {
      throw toldOf(error, say);
    });
    say(headersOf(verdict));
    if (verdict.code !== 'VALID') throw refusalOf(verdict.code);
    keepVerdict(request, verdict);
    return true;
  }

  private scopesOf(context: ExecutionContext): string[] {
    const places = [context.getHandler(), context.getClass()];
    const scopes = this.reflector.getAllAndOverride<string[] | undefined>(REQUIRED_SCOPES, places);
    if (scopes === undefined) throw new Error('A route under KeyGuard must name @RequireScope');
    return scopes;
  }

  private ask(key: string, scopes: string[], request: GuardedRequest): Promise<Verdict> {
    return this.verifier.verify({ key, scopes, clientIp: addressOf(request.ip), from: request });
  }

  private setHeaders(context: ExecutionContext, headers: Record<string, string>): void {
    const response: unknown = context.switchToHttp().getResponse();
    for (const [name, value] of Object.entries(headers))
      this.host.httpAdapter.setHeader(response, name, value);
  }
}

function keyOf(request: GuardedRequest, say: Say): string {
  const key = request.headers['x-api-key'];
  if (key !== undefined && request.headers['authorization'] !== undefined) {
    throw new KeyRefused('INVALID_HEADER', 'Send x-api-key or Authorization, not both');
  }
  if (typeof key !== 'string' || key.trim() === '') {
    say({ 'WWW-Authenticate': 'ApiKey' });
    throw missingKey();
  }
  // Longer than any key can be: junk, which costs no question.
  if (key.length > MAX_KEY_CHARACTERS) throw refusalOf('MALFORMED');
  return key;
}

/** An IPv6 address without its zone, which means something on this machine only. */
function addressOf(ip: string): string {
  const zone = ip.indexOf('%');
  return zone < 0 ? ip : ip.slice(0, zone);
}

function toldOf(error: unknown, say: Say): unknown {
  if (!(error instanceof VerificationUnavailable)) return error;
  say({ 'Retry-After': '1' });
  return new KeyRefused('VERIFICATION_UNAVAILABLE', 'Keep the key and try again shortly', error);
}
