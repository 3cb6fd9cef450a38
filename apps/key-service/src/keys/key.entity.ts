import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Environment, Grant, RateLimit } from '#contracts';
import type { QuotaRecord } from '#key-core';

/**
 * A key: everything about it that is shown. `version` rises with every change. What the row repeats of its grants and secrets is said
 * when it is made; the database keeps it in step with their rows from then on, so that what was read before a change of these is old.
 */
@Entity({ schema: 'keys', name: 'key' })
export class KeyEntity {
  @PrimaryColumn('text')
  id!: string;

  /** Order of creation, given by the database. */
  @Column({ type: 'bigint', insert: false, update: false })
  seq!: string;

  @Column('text')
  name!: string;

  @Column('text')
  consumer!: string;

  @Column('text')
  environment!: Environment;

  @Column('text')
  state!: 'active' | 'disabled' | 'revoked';

  @Column('timestamptz', { name: 'not_before', nullable: true })
  notBefore!: Date | null;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt!: Date | null;

  @Column('jsonb', { name: 'rate_limits' })
  rateLimits!: RateLimit[];

  @Column('jsonb', { nullable: true })
  quota!: QuotaRecord | null;

  @Column('text', { name: 'ip_allowlist', array: true })
  ipAllowlist!: string[];

  @Column('text', { array: true })
  tags!: string[];

  @Column('jsonb')
  metadata!: Record<string, unknown>;

  @Column('text')
  origin!: 'issued' | 'imported';

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('text', { name: 'created_by' })
  createdBy!: string;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt!: Date | null;

  @Column('text', { name: 'revocation_reason', nullable: true })
  revocationReason!: string | null;

  /** By service. */
  @Column({ type: 'jsonb', update: false })
  grants!: Grant[];

  /** Of the current secret, as is `hintLast4`. */
  @Column({ type: 'text', name: 'hint_prefix', update: false })
  hintPrefix!: string;

  @Column({ type: 'text', name: 'hint_last4', update: false })
  hintLast4!: string;

  /** `validUntil` of the secret before the current one; null where there is none. */
  @Column({ type: 'timestamptz', name: 'previous_until', nullable: true, update: false })
  previousUntil!: Date | null;

  /** `ended` of that secret. */
  @Column({ type: 'boolean', name: 'previous_ended', nullable: true, update: false })
  previousEnded!: boolean | null;
}

/** A key before the database gave it its place. */
export type KeyRow = Omit<KeyEntity, 'seq'>;
