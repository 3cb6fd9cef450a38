import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Policy } from '#contracts';

/** A service: an audience of keys, with its scope catalogue and policy. */
@Entity({ schema: 'keys', name: 'service' })
export class ServiceEntity {
  @PrimaryColumn('text')
  slug!: string;

  @Column('text')
  name!: string;

  @Column('text', { array: true })
  scopes!: string[];

  @Column('jsonb')
  policy!: Policy;

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
