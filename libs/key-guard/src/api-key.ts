import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Verdict } from '#contracts';

/** Where the verdict of a request is kept: on the request itself, as a weak map costs as much as the whole check. */
const VERDICT = Symbol('verdict');

/** A request that was let through. */
interface Passed {
  [VERDICT]?: Verdict;
}

/** Parameter of a guarded route: the verdict on the key that the request came with. */
export const ApiKey = createParamDecorator((_: unknown, context: ExecutionContext): Verdict => {
  const verdict = context.getArgByIndex<Passed>(0)[VERDICT];
  if (verdict === undefined) throw new Error('@ApiKey() is for routes that KeyGuard guards');
  return verdict;
});

/** Keeps the verdict of a request for {@link ApiKey}, for as long as the request lives. */
export function keepVerdict(request: object, verdict: Verdict): void {
  (request as Passed)[VERDICT] = verdict;
}
