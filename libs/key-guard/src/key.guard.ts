import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { keepVerdict } from './api-key.js';
import type { GuardAnswer, GuardedRequest, KeyGuardCore } from './core.js';
import { NO_HEADERS } from './core/verdict-headers.js';
import { KeyRefused } from './key-refused.js';
import { ruleOf } from './route-rule.js';

/** Injection token of the {@link KeyGuardCore} that the guard asks. */
export const KEY_GUARD = Symbol('KeyGuardCore');

/**
 * Lets a request pass whose `x-api-key` is good for the route's scopes, and those of routes under `@Public`. Where the key is
 * known it says so at once: a promise would cost more than the check.
 */
@Injectable()
export class KeyGuard implements CanActivate {
  private readonly rules = new Map<object, Rule>();

  constructor(
    @Inject(KEY_GUARD) private readonly guard: KeyGuardCore,
    private readonly host: HttpAdapterHost,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const { scopes } = this.ruleOf(context);
    if (scopes === null) return true;
    // not by switchToHttp(), which makes a host of its own for each call
    const request = context.getArgByIndex<GuardedRequest>(0);
    const answer = this.guard.check(request, scopes);
    if (!(answer instanceof Promise)) return this.follow(answer, request, context);
    return answer.then((late) => this.follow(late, request, context));
  }

  /** Looked up once for each handler, and again only for one that several controllers have inherited. */
  private ruleOf(context: ExecutionContext): Rule {
    const handler = context.getHandler();
    const controller = context.getClass();
    const known = this.rules.get(handler);
    if (known?.controller === controller) return known;
    const named = ruleOf(handler, controller);
    if (named === null || named === 'both')
      throw new Error('A route under KeyGuard must name @RequireScope or @Public');
    const rule = { controller, scopes: named === 'public' ? null : named };
    this.rules.set(handler, rule);
    return rule;
  }

  /** @throws KeyRefused */
  private follow(answer: GuardAnswer, request: object, context: ExecutionContext): boolean {
    if (answer.headers !== NO_HEADERS) this.setHeaders(answer.headers, context);
    if (!answer.allowed) throw new KeyRefused(answer.problem, answer.cause);
    keepVerdict(request, answer.verdict);
    return true;
  }

  private setHeaders(headers: GuardAnswer['headers'], context: ExecutionContext): void {
    const response: unknown = context.getArgByIndex(1);
    for (const name in headers) this.host.httpAdapter.setHeader(response, name, headers[name]!);
  }
}

/** What a handler of a controller demands; no scopes where everybody may call it. */
interface Rule {
  controller: object;
  scopes: string[] | null;
}
