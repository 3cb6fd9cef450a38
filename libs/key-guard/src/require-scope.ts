import { applyDecorators, SetMetadata } from '@nestjs/common';
import { scopes as scopeList } from '#contracts';

/** Where {@link RequireScope} leaves the scopes of a route or controller. */
export const REQUIRED_SCOPES = 'keyward:required-scopes';
/** Where @nestjs/swagger reads which credentials a route takes; an app without it needs no such package. */
const API_SECURITY = 'swagger/apiSecurity';

/**
 * Names the scopes that a key must have, all of them, for a route that `KeyGuard` guards.
 *
 * @throws Error while the class is being defined when no scope is named or one is not written as scopes are
 */
export function RequireScope(...scopes: string[]): MethodDecorator & ClassDecorator {
  const parsed = scopeList.min(1, 'Name at least one scope').safeParse(scopes);
  if (!parsed.success)
    throw new Error(`@RequireScope: ${parsed.error.issues.map((one) => one.message).join('; ')}`);
  return applyDecorators(
    // frozen, so that it is known to be the same by being the same
    SetMetadata(REQUIRED_SCOPES, Object.freeze(parsed.data)),
    SetMetadata(API_SECURITY, [{ apiKey: [] }]),
  );
}
