import type { Claims } from '#contracts';

/** Asked about every caller after the token was found good; false refuses the token. */
export type IsLive = (caller: Claims) => Promise<boolean> | boolean;

/** Injection token of the app's {@link IsLive}. */
export const IS_LIVE = Symbol('IS_LIVE');
