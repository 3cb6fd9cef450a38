import type { NewChange } from '../changes/change-log.js';
import type { Principal } from './principal.js';

/** What only the change itself knows; the rest of its row is who did it, and from where. */
export type ChangeOf = Omit<NewChange, 'actor' | 'via' | 'requestId' | 'ip'>;

/** A row for the change log, signed with its principal. */
export function changeBy(principal: Principal, change: ChangeOf): NewChange {
  const { actor, via, requestId, ip } = principal;
  return { ...change, actor, via, requestId, ip };
}
