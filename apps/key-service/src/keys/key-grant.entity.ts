import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The right of a key to use some scopes of one service. */
@Entity({ schema: 'keys', name: 'key_grant' })
export class KeyGrantEntity {
  @PrimaryColumn('text', { name: 'key_id' })
  keyId!: string;

  @PrimaryColumn('text')
  service!: string;

  /** The key's `seq`, given by the database. */
  @Column({ type: 'bigint', name: 'key_seq', select: false, insert: false, update: false })
  keySeq!: string;

  @Column('text', { array: true })
  scopes!: string[];
}
