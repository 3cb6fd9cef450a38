import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { keepVerdict } from './api-key.js';
import type { GuardAnswer, GuardedRequest, KeyGuardCore } from './core.js';
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
  private readonly rules = new WeakMap<object, Map<object, string[] | 'public'>>();

  constructor(
    @Inject(KEY_GUARD) private readonly guard: KeyGuardCore,
    private readonly host: HttpAdapterHost,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const rule = this.ruleOf(context);
    if (rule === 'public') return true;
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    const answer = this.guard.check(request, rule);
    if (!(answer instanceof Promise)) return this.follow(answer, request, context);
    return answer.then((late) => this.follow(late, request, context));
  }

  private ruleOf(context: ExecutionContext): string[] | 'public' {
    const handler = context.getHandler();
    const controller = context.getClass();
    let rules = this.rules.get(controller);
    if (rules === undefined) this.rules.set(controller, (rules = new Map()));
    const known = rules.get(handler);
    if (known !== undefined) return known;
    const rule = ruleOf(handler, controller);
    if (rule === null || rule === 'both')
      throw new Error('A route under KeyGuard must name @RequireScope or @Public');
    rules.set(handler, rule);
    return rule;
  }

  /** @throws KeyRefused */
  private follow(answer: GuardAnswer, request: object, context: ExecutionContext): boolean {
    const response: unknown = context.switchToHttp().getResponse();
    for (const name in answer.headers)
      this.host.httpAdapter.setHeader(response, name, answer.headers[name]!);
    if (!answer.allowed) throw new KeyRefused(answer.problem, answer.cause);
    keepVerdict(request, answer.verdict);
    return true;
  }
}
