/** Injection token of the connections for looking imported keys up: the hot path's own are not to wait for them. */
export const LOOKUP_POOL = Symbol('LOOKUP_POOL');
