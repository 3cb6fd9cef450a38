/**
 * Who asks, with what rights, and from where. Always made from verified credentials, never from a body.
 */
export interface Principal {
  /** The person: `sub` of their token. */
  actor: string;
  /** The service through which they act, or null where they call themselves. */
  via: string | null;
  mayChange: boolean;
  /** Services that they may see and touch; null for all. */
  services: readonly string[] | null;
  requestId: string;
  ip: string;
}

/** Whether everything that concerns `services`, and only them, is the principal's to see. */
export function maySee(principal: Principal, services: readonly string[]): boolean {
  return principal.services === null || services.every((one) => principal.services?.includes(one));
}
