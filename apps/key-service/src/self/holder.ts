import type { Principal } from '../access/principal.js';

const PREFIX = 'key:';

/** The holder of a key as a principal. It is let into the holder's own routes only, which touch nothing but that key. */
export function holderOf(keyId: string, origin: Pick<Principal, 'requestId' | 'ip'>): Principal {
  return { actor: `${PREFIX}${keyId}`, via: null, mayChange: true, services: null, ...origin };
}

/** The key that a holder holds. */
export function heldKey({ actor }: Principal): string {
  if (!actor.startsWith(PREFIX)) throw new Error('This route is for holders of keys');
  return actor.slice(PREFIX.length);
}
