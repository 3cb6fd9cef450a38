import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Verdict } from '#contracts';

const verdicts = new WeakMap<object, Verdict>();

/** Parameter of a guarded route: the verdict on the key that the request came with. */
export const ApiKey = createParamDecorator((_: unknown, context: ExecutionContext): Verdict => {
  const verdict = verdicts.get(context.switchToHttp().getRequest<object>());
  if (verdict === undefined) throw new Error('@ApiKey() is for routes that KeyGuard guards');
  return verdict;
});

/** Keeps the verdict of a request for {@link ApiKey}, for as long as the request lives. */
export function keepVerdict(request: object, verdict: Verdict): void {
  verdicts.set(request, verdict);
}
