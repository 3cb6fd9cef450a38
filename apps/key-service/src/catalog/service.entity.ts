import { Column, Entity, PrimaryColumn } from 'typeorm';
import { DEFAULT_POLICY, type Policy } from '#contracts';

/** A service: an audience of keys, with its scope catalogue and policy. */
@Entity({ schema: 'keys', name: 'service' })
export class ServiceEntity {
  @PrimaryColumn('text')
  slug!: string;

  @Column('text')
  name!: string;

  @Column('text', { array: true })
  scopes!: string[];

  /** What a row does not say, having been written before there was such a rule, is as in a service that names none. */
  @Column('jsonb', { transformer: { from: withDefaults, to: (policy: Policy) => policy } })
  policy!: Policy;

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}

function withDefaults(stored: Partial<Policy>): Policy {
  return { ...DEFAULT_POLICY, ...stored };
}
