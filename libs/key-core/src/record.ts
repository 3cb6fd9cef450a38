import type { Environment, Grant, Quota, RateLimit } from '#contracts';

/** What is stored of one secret of a key. */
export interface SecretRecord {
  /** 1 for the first secret of the key, one more with each rotation. */
  number: number;
  /** HMAC-SHA-256 of the whole text, in base64: half of what 32 bytes take in a buffer of their own. */
  digest: string;
  pepperVersion: number;
  /** When it was made. */
  issuedAtMs: number;
  /** When it ends; null for the current one. */
  validUntilMs: number | null;
  /** Whether it was ended by hand: dead whatever the clock of who decides. */
  isEnded: boolean;
}

/** A quota as it was set: `setting` is the version of the key that brought it, and tells it from any other the key had. */
export interface QuotaRecord extends Quota {
  setting: number;
}

export type KeyState = 'active' | 'disabled' | 'revoked';

/** All that a verification has to know of a key. Times are milliseconds since 1970. */
export interface KeyRecord {
  keyId: string;
  /** Raised by every change that a verification can see. */
  version: number;
  consumer: string;
  consumerEnabled: boolean;
  environment: Environment;
  state: KeyState;
  /** First moment it may be used; null for always. */
  notBeforeMs: number | null;
  /** First moment it may no longer be used; null for never. */
  expiresAtMs: number | null;
  /** One per service. */
  grants: Grant[];
  rateLimits: RateLimit[];
  quota: QuotaRecord | null;
  /** Addresses and CIDR blocks it may be used from; empty for everywhere. */
  ipAllowlist: string[];
  metadata: Record<string, unknown>;
  /** Import that it came with, null where it was issued here: never changes. */
  importId: string | null;
  /** The current one and those that a rotation left to run out. */
  secrets: SecretRecord[];
}
