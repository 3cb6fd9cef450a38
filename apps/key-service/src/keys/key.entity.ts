import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Environment, RateLimit } from '#contracts';
import type { QuotaRecord } from '#key-core';

/** A key: everything about it but its grants and secrets. `version` rises with every change. */
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
}

/** A key before the database gave it its place. */
export type KeyRow = Omit<KeyEntity, 'seq'>;
