import type { Principal } from '../access/principal.js';

/** An admin of all services, for what is done without a request. */
export const ADMIN: Principal = {
  actor: 'usr_admin',
  via: null,
  mayChange: true,
  services: null,
  requestId: 'r',
  ip: '::1',
};
