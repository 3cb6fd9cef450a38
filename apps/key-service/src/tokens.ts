/** Injection token of the app's log. */
export const LOG = Symbol('LOG');
