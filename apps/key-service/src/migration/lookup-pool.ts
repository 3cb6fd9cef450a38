/** Injection token of the connections for looking imported keys up: the hot path's own are not to wait for them. */
export const LOOKUP_POOL = Symbol('LOOKUP_POOL');

/** Injection token of the connection for reading imports anew: a flood of look-ups is not to keep it from that. */
export const RULES_POOL = Symbol('RULES_POOL');
