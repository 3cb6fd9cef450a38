import type pg from 'pg';
import type { Environment, Quota, RateLimit } from '#contracts';
import type { KeyRecord } from '#key-core';

/** A key as the store has it now, with the epoch read in the same statement. */
export interface StoredRecord {
  record: KeyRecord | null;
  epoch: number;
  asOfMs: number;
}

interface Row {
  epoch: string;
  version: number | null;
  consumer: string;
  enabled: boolean;
  environment: Environment;
  state: KeyRecord['state'];
  not_before_ms: number | null;
  expires_at_ms: number | null;
  rate_limits: RateLimit[];
  quota: Quota | null;
  ip_allowlist: string[];
  metadata: Record<string, unknown>;
  grants: [string, string[]][] | null;
  secrets: [number, string, number, number | null, boolean][] | null;
}

const SELECT_RECORD = {
  name: 'record',
  text: `SELECT e.epoch, k.version, k.consumer, c.enabled, k.environment, k.state,
      floor(extract(epoch FROM k.not_before) * 1000)::float8 AS not_before_ms,
      floor(extract(epoch FROM k.expires_at) * 1000)::float8 AS expires_at_ms,
      k.rate_limits, k.quota, k.ip_allowlist, k.metadata,
      (SELECT json_agg(json_build_array(g.service, g.scopes) ORDER BY g.service)
         FROM keys.key_grant g WHERE g.key_id = k.id) AS grants,
      (SELECT json_agg(json_build_array(s.number, encode(s.digest, 'base64'), s.pepper_version,
                floor(extract(epoch FROM s.valid_until) * 1000), s.ended))
         FROM (SELECT * FROM keys.secret WHERE key_id = k.id ORDER BY number DESC LIMIT 2) s) AS secrets
    FROM keys.cache_epoch e
      LEFT JOIN (keys.key k JOIN keys.consumer c ON c.slug = k.consumer) ON k.id = $1`,
};

/** A read that fails later than this is not tried again for those who waited for it. */
const TRY_AGAIN_WITHIN_MS = 250;

interface NextRead {
  promise: Promise<StoredRecord>;
}

/**
 * Reads records from PostgreSQL. Reads of one key that wait at the same time share one statement, but nobody joins one that is
 * already sent: it may have looked before a change that the joiner must see.
 */
export class RecordStore {
  private readonly flights = new Map<string, { sent: Promise<unknown>; next: NextRead | null }>();

  constructor(private readonly pool: pg.Pool) {}

  /** @throws where PostgreSQL does not answer within 1.7 s */
  read(keyId: string): Promise<StoredRecord> {
    const underWay = this.flights.get(keyId);
    if (underWay === undefined) return this.send(keyId);
    underWay.next ??= { promise: this.after(keyId, underWay.sent) };
    return underWay.next.promise;
  }

  private async after(keyId: string, sent: Promise<unknown>): Promise<StoredRecord> {
    const startedMs = performance.now();
    await sent.catch((error: unknown) => {
      // both waits together would be longer than a verification may take
      if (performance.now() - startedMs > TRY_AGAIN_WITHIN_MS) throw error;
    });
    return this.send(keyId);
  }

  private async send(keyId: string): Promise<StoredRecord> {
    const sent = this.select(keyId);
    const flight = { sent, next: null };
    this.flights.set(keyId, flight);
    try {
      return await sent;
    } finally {
      if (this.flights.get(keyId) === flight && flight.next === null) this.flights.delete(keyId);
    }
  }

  private async select(keyId: string): Promise<StoredRecord> {
    const asOfMs = Date.now();
    const { rows } = await this.pool.query<Row>({ ...SELECT_RECORD, values: [keyId] });
    const row = rows[0]!;
    return {
      record: row.version === null ? null : recordOf(keyId, row),
      epoch: Number(row.epoch),
      asOfMs,
    };
  }
}

function recordOf(keyId: string, row: Row): KeyRecord {
  return {
    keyId,
    version: row.version!,
    consumer: row.consumer,
    consumerEnabled: row.enabled,
    environment: row.environment,
    state: row.state,
    notBeforeMs: row.not_before_ms,
    expiresAtMs: row.expires_at_ms,
    grants: (row.grants ?? []).map(([service, scopes]) => ({ service, scopes })),
    rateLimits: row.rate_limits,
    quota: row.quota,
    ipAllowlist: row.ip_allowlist,
    metadata: row.metadata,
    secrets: (row.secrets ?? []).map(([number, digest, pepperVersion, validUntilMs, isEnded]) => ({
      number,
      digest: Buffer.from(digest, 'base64'),
      pepperVersion,
      validUntilMs,
      isEnded,
    })),
  };
}
