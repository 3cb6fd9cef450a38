import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Principal } from './principal.js';

const principals = new WeakMap<object, Principal>();

/** The principal of the request; only on routes under the principal guard. */
export const By = createParamDecorator((_: unknown, context: ExecutionContext): Principal =>
  principalIn(context.switchToHttp().getRequest<object>()),
);

/** The principal that the guard has left on a request. */
export function principalIn(request: object): Principal {
  const principal = principals.get(request);
  if (!principal) throw new Error('The principal is asked for on a route without PrincipalGuard');
  return principal;
}

/** Leaves the principal for {@link By}. */
export function setPrincipal(request: object, principal: Principal): void {
  principals.set(request, principal);
}
