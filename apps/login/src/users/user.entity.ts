import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Role } from '#contracts';

/** A person. */
@Entity({ schema: 'login', name: 'user' })
export class UserEntity {
  @PrimaryColumn('text')
  id!: string;

  @Column({ type: 'bigint', insert: false, update: false })
  seq!: string;

  @Column('text')
  username!: string;

  @Column('text', { name: 'password_hash' })
  passwordHash!: string;

  @Column('text', { array: true })
  roles!: Role[];

  /** Null for an admin who is not limited to some services. */
  @Column('text', { array: true, nullable: true })
  services!: string[] | null;

  @Column('boolean')
  enabled!: boolean;

  /** Wrong passwords since the last right one. */
  @Column('integer')
  failures!: number;

  @Column('timestamptz', { name: 'failed_at', nullable: true })
  failedAt!: Date | null;

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
