import { IS_PUBLIC } from './public.js';
import { REQUIRED_SCOPES } from './require-scope.js';

/** What a route demands: scopes, or nothing; null where it names neither, `both` where it contradicts itself. */
export type RouteRule = string[] | 'public' | 'both' | null;

/** The rule of a route: what its handler names, else what its controller does. */
export function ruleOf(handler: object, controller: object): RouteRule {
  return ruleNamedBy(handler) ?? ruleNamedBy(controller);
}

function ruleNamedBy(place: object): RouteRule {
  const scopes = Reflect.getMetadata(REQUIRED_SCOPES, place) as string[] | undefined;
  const isPublic = Reflect.getMetadata(IS_PUBLIC, place) === true;
  if (scopes === undefined) return isPublic ? 'public' : null;
  return isPublic ? 'both' : scopes;
}
