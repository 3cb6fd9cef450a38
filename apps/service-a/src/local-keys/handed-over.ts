import type { Pool, PoolClient } from 'pg';

/** A key as the key service was told of it: its version here, and the number of its current secret, 0 where it has none. */
export interface ToldKey {
  id: string;
  version: number;
  secret: number;
}

/** Notes what the key service has now. */
export async function noteTold(db: Pool | PoolClient, keys: readonly ToldKey[]): Promise<void> {
  await db.query(
    `INSERT INTO service_a.handed_over (key_id, version, secret)
     SELECT * FROM unnest($1::text[], $2::integer[], $3::integer[])
     ON CONFLICT (key_id) DO UPDATE SET version = excluded.version, secret = excluded.secret, at = clock_timestamp()`,
    [keys.map((one) => one.id), keys.map((one) => one.version), keys.map((one) => one.secret)],
  );
}
