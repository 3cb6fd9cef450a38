import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A secret of a key: the current one, whose `validUntil` is null, or one that it replaced. */
@Entity({ schema: 'keys', name: 'secret' })
export class SecretEntity {
  @PrimaryColumn('text', { name: 'key_id' })
  keyId!: string;

  @PrimaryColumn('integer')
  number!: number;

  /** HMAC-SHA-256 of the whole text; written here, read by verification only. */
  @Column('bytea', { select: false })
  digest!: Buffer;

  /** 0 for an imported one until it is first used: its digest equals none. */
  @Column('integer', { name: 'pepper_version' })
  pepperVersion!: number;

  /** Sealed, for exports; null where the text was never seen since there are exports. */
  @Column('bytea', { select: false, nullable: true })
  portable!: Buffer | null;

  @Column('text')
  prefix!: string;

  @Column('text')
  last4!: string;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'valid_until', nullable: true })
  validUntil!: Date | null;

  /** Ended by hand: dead at once on every replica, whatever its clock. */
  @Column({ type: 'boolean' })
  ended!: boolean;

  /** When a verification with it was last valid, at most a minute late; written by the usage counter alone. */
  @Column({
    type: 'timestamptz',
    name: 'last_used_at',
    nullable: true,
    insert: false,
    update: false,
  })
  lastUsedAt!: Date | null;
}
