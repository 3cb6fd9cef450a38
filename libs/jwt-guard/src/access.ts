import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Claims, Role as KeywardRole, TokenScope as KeywardScope } from '#contracts';

/** A role of Keyward's people, or any other that an issuer gives. */
export type Role = KeywardRole | (string & Record<never, never>);
/** A right of Keyward's service accounts, or any other that an issuer gives. */
export type TokenScope = KeywardScope | (string & Record<never, never>);

/** Who may call a route: anyone, whoever has a token, or who has one of the roles or token scopes. */
export interface Access {
  public?: boolean;
  authenticated?: boolean;
  roles?: readonly Role[];
  scopes?: readonly TokenScope[];
}

const ACCESS = Symbol('keyward:access');
/** Where @nestjs/swagger reads which credentials a route takes; an app without it needs no such package. */
const API_SECURITY = 'swagger/apiSecurity';

type Target = object | ((...args: never[]) => unknown);

/** Anyone may call this; another guard may still ask for something else. */
export const Public = (): MethodDecorator & ClassDecorator => access({ public: true });

/** Whoever has a good access token may call this. */
export const Authenticated = (): MethodDecorator & ClassDecorator =>
  guarded({ authenticated: true });

/** A person with one of these roles may call this. Beside `@TokenScopes` either is enough. */
export const Roles = (...roles: [Role, ...Role[]]): MethodDecorator & ClassDecorator =>
  guarded({ roles });

/** A service account with one of these token scopes may call this. Beside `@Roles` either is enough. */
export const TokenScopes = (
  ...scopes: [TokenScope, ...TokenScope[]]
): MethodDecorator & ClassDecorator => guarded({ scopes });

/** The claims of who calls; only on a route that is not public. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Claims => {
  const caller = callerOf(context.switchToHttp().getRequest<object>());
  if (!caller) throw new Error('@Caller() is used on a route that lets anyone in');
  return caller;
});

/** The claims that the guard left on a request. */
export function callerOf(request: object): Claims | undefined {
  return (request as { caller?: Claims }).caller;
}

/** What a handler names, else what its class names; undefined where neither names anything. */
export function accessOf(handler: Target, controller: Target): Access | undefined {
  const own = (target: Target) => Reflect.getOwnMetadata(ACCESS, target) as Access | undefined;
  return own(handler) ?? own(controller);
}

function guarded(rule: Access): MethodDecorator & ClassDecorator {
  return access(rule, (onto) => Reflect.defineMetadata(API_SECURITY, [{ bearer: [] }], onto));
}

/** Adds a rule to what the same route or class names already. */
function access(
  rule: Access,
  note: (onto: object) => void = () => undefined,
): MethodDecorator & ClassDecorator {
  return (target: object, _name?: PropertyKey, descriptor?: PropertyDescriptor): void => {
    const onto = (descriptor?.value ?? target) as object;
    const before = Reflect.getOwnMetadata(ACCESS, onto) as Access | undefined;
    Reflect.defineMetadata(ACCESS, { ...before, ...rule }, onto);
    note(onto);
  };
}
