import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { ClientKeys, TokenScope } from '#contracts';

/** A service account. */
@Entity({ schema: 'login', name: 'client' })
export class ClientEntity {
  @PrimaryColumn('text', { name: 'client_id' })
  clientId!: string;

  @Column({ type: 'bigint', insert: false, update: false })
  seq!: string;

  @Column('text')
  name!: string;

  @Column('text', { array: true })
  scopes!: TokenScope[];

  @Column('text', { array: true })
  audiences!: string[];

  @Column('boolean')
  enabled!: boolean;

  /** With keys of its own the account has no use for its secret. */
  @Column('jsonb', { nullable: true })
  jwks!: ClientKeys | null;

  @Column('bytea', { name: 'secret_digest' })
  secretDigest!: Buffer;

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
