/** Injection token of the app's log. */
export const LOG = Symbol('LOG');

/** Injection token of the settings, a `LoginEnv`. */
export const ENV = Symbol('ENV');

/** Injection token of {@link file://./secrets.ts LoginSecrets}. */
export const SECRETS = Symbol('SECRETS');
