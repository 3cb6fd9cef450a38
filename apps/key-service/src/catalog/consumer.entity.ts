import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A consumer: who holds keys. While it is not enabled none of its keys is valid. */
@Entity({ schema: 'keys', name: 'consumer' })
export class ConsumerEntity {
  @PrimaryColumn('text')
  slug!: string;

  @Column('text')
  name!: string;

  @Column('text', { nullable: true })
  contact!: string | null;

  @Column('jsonb')
  metadata!: Record<string, unknown>;

  @Column('boolean')
  enabled!: boolean;

  @Column('integer')
  version!: number;

  @Column('timestamptz', { name: 'created_at' })
  createdAt!: Date;

  @Column('timestamptz', { name: 'updated_at' })
  updatedAt!: Date;
}
