import { Entity, PrimaryColumn } from 'typeorm';

/** One tag of one key; the database keeps these rows in step with the key's `tags`. */
@Entity({ schema: 'keys', name: 'key_tag' })
export class KeyTagEntity {
  @PrimaryColumn('text')
  tag!: string;

  /** The key's `seq`. */
  @PrimaryColumn('bigint', { name: 'key_seq' })
  keySeq!: string;
}
