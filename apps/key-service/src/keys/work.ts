import type { EntityManager } from 'typeorm';
import type { Principal } from '../access/principal.js';
import type { KeyMaterial } from '../key-material.js';
import type { RedisLink } from '../redis-link.js';

/** What every capability works with: its transaction, who asked for it, and the secrets, randomness and time of the service. */
export interface Work {
  manager: EntityManager;
  by: Principal;
  material: KeyMaterial;
  /** Null without Redis. */
  link: RedisLink | null;
}
