import type { Logger } from 'pino';

/** Where a request comes from. */
export interface Origin {
  ip: string;
  requestId: string;
}

/** What happens at login that somebody may have to look into later. */
export type SecurityEvent =
  | 'login.succeeded'
  | 'login.failed'
  | 'login.held'
  | 'session.ended'
  | 'session.reuse'
  | 'client.refused'
  | 'user.created'
  | 'user.changed'
  | 'user.password-set'
  | 'user.password-changed'
  | 'user.password-refused'
  | 'client.created'
  | 'client.changed'
  | 'client.removed'
  | 'client.secret-replaced'
  | 'signing-key.rotated';

/**
 * Writes a security event as one line of the log.
 *
 * @param details ids and reasons; never a secret, and never what somebody typed, for it may be one
 */
export function securityEvent(
  log: Logger,
  event: SecurityEvent,
  details: Partial<Origin> & {
    actor?: string;
    userId?: string | undefined;
    sessionId?: string;
    clientId?: string | undefined;
    reason?: string;
    changed?: string[];
    kid?: string;
  },
): void {
  log.info({ event, ...details }, 'security event');
}
