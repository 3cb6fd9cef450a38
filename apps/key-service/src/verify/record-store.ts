import type pg from 'pg';
import type { Environment, RateLimit } from '#contracts';
import type { KeyRecord, QuotaRecord } from '#key-core';
import { saysNoWrites } from '#postgres';

/** A key as the store has it now, with the epoch read in the same statement. */
export interface StoredRecord {
  record: KeyRecord | null;
  epoch: number;
  asOfMs: number;
}

interface Row {
  epoch: string;
  /** Null in the one row where none of the keys exists. */
  id: string | null;
  version: number;
  consumer: string;
  enabled: boolean;
  environment: Environment;
  state: KeyRecord['state'];
  not_before_ms: number | null;
  expires_at_ms: number | null;
  rate_limits: RateLimit[];
  quota: QuotaRecord | null;
  ip_allowlist: string[];
  metadata: Record<string, unknown>;
  import_id: string | null;
  grants: [string, string[]][] | null;
  secrets: [number, string, number, number, number | null, boolean][] | null;
}

const SELECT_RECORDS = {
  name: 'records',
  text: `SELECT e.epoch, k.id, k.version, k.consumer, c.enabled, k.environment, k.state,
      floor(extract(epoch FROM k.not_before) * 1000)::float8 AS not_before_ms,
      floor(extract(epoch FROM k.expires_at) * 1000)::float8 AS expires_at_ms,
      k.rate_limits, k.quota, k.ip_allowlist, k.metadata,
      (SELECT i.import_id FROM keys.imported_key i WHERE i.key_id = k.id) AS import_id,
      (SELECT json_agg(json_build_array(g.service, g.scopes) ORDER BY g.service)
         FROM keys.key_grant g WHERE g.key_id = k.id) AS grants,
      (SELECT json_agg(json_build_array(s.number, encode(s.digest, 'base64'), s.pepper_version,
                floor(extract(epoch FROM s.created_at) * 1000), floor(extract(epoch FROM s.valid_until) * 1000), s.ended))
         FROM (SELECT * FROM keys.secret WHERE key_id = k.id ORDER BY number DESC LIMIT 2) s) AS secrets
    FROM keys.cache_epoch e
      LEFT JOIN (keys.key k JOIN keys.consumer c ON c.slug = k.consumer) ON k.id = ANY ($1::text[])`,
};

/** The most ids that wait for a statement; who comes then is turned away at once. */
const MAX_WAITING = 2_048;
/** And of them those whom one asker may have waiting, so that there is room for the others. */
const MAX_WAITING_OF_ONE = MAX_WAITING / 2;
const MAX_STATEMENTS = 4;
const MAX_IDS = 128;
/** Who has waited longer than this when a statement fails fails with it: another wait would be longer than a verification may take. */
const TRY_AGAIN_WITHIN_MS = 250;

/** So many reads wait that one more would only wait in vain. */
export class StoreBusy extends Error {}

interface Waiting {
  /** Who asked first. */
  asker: string;
  sinceMs: number;
  promise: Promise<StoredRecord>;
  resolve: (read: StoredRecord) => void;
  reject: (error: unknown) => void;
}

/**
 * Reads records from PostgreSQL. Reads that wait at the same time share one statement, those of one key share one place in
 * it; but nobody joins a statement that is already sent: it may have looked before a change that the joiner must see.
 * However many unknown ids are asked about, four connections at most are busy with them, and one asker has half of the places.
 */
export class RecordStore {
  private readonly waiting = new Map<string, Waiting>();
  /** How many of those each asker has there. */
  private readonly places = new Map<string, number>();
  private statements = 0;
  private isScheduled = false;

  /** @param now milliseconds since 1970, by the clock that all replicas go by */
  constructor(
    private readonly pool: pg.Pool,
    private readonly now: () => number,
  ) {}

  /**
   * @param asker the service that asks; those who ask for none are one asker
   * @throws StoreBusy, or where PostgreSQL does not answer within 1.7 s
   */
  read(keyId: string, asker = ''): Promise<StoredRecord> {
    const before = this.waiting.get(keyId);
    if (before !== undefined) return before.promise;
    const places = this.places.get(asker) ?? 0;
    if (this.waiting.size >= MAX_WAITING || places >= MAX_WAITING_OF_ONE)
      return Promise.reject(new StoreBusy('Too many keys are being looked up'));
    const waiting = newWaiting(asker);
    this.waiting.set(keyId, waiting);
    this.places.set(asker, places + 1);
    this.schedule();
    return waiting.promise;
  }

  /** Not at once, so that all who come in one turn of the event loop go together. */
  private schedule(): void {
    if (this.isScheduled || this.statements >= MAX_STATEMENTS) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      while (this.waiting.size > 0 && this.statements < MAX_STATEMENTS) void this.send();
    });
  }

  private async send(): Promise<void> {
    const sent = [...this.waiting].slice(0, MAX_IDS);
    for (const [keyId, one] of sent) this.leave(keyId, one);
    this.statements += 1;
    try {
      const reads = await this.select(sent.map(([keyId]) => keyId));
      for (const [keyId, one] of sent) one.resolve(reads(keyId));
    } catch (error) {
      for (const [, one] of sent) one.reject(error);
      this.giveUp(error);
    } finally {
      this.statements -= 1;
      if (this.waiting.size > 0) this.schedule();
    }
  }

  /** Of those who wait, the ones that came long ago. */
  private giveUp(error: unknown): void {
    const beforeMs = performance.now() - TRY_AGAIN_WITHIN_MS;
    for (const [keyId, one] of this.waiting) {
      if (one.sinceMs > beforeMs) continue;
      this.leave(keyId, one);
      one.reject(error);
    }
  }

  private leave(keyId: string, { asker }: Waiting): void {
    this.waiting.delete(keyId);
    const places = this.places.get(asker)! - 1;
    if (places > 0) this.places.set(asker, places);
    else this.places.delete(asker);
  }

  private async select(keyIds: string[]): Promise<(keyId: string) => StoredRecord> {
    const startedMs = performance.now();
    const { asOfMs, rows } = await this.query(keyIds).catch((error: unknown) => {
      const isEarly = performance.now() - startedMs < TRY_AGAIN_WITHIN_MS;
      // in a failover connections to the old primary end with what they were about to answer
      if (isEarly && saysNoWrites(error)) return this.query(keyIds);
      throw error;
    });
    const byId = new Map(rows.map((row) => [row.id, row]));
    const epoch = Number(rows[0]!.epoch);
    return (keyId) => {
      const row = byId.get(keyId);
      return { record: row === undefined ? null : recordOf(keyId, row), epoch, asOfMs };
    };
  }

  private async query(keyIds: string[]): Promise<{ asOfMs: number; rows: Row[] }> {
    const asOfMs = this.now();
    const { rows } = await this.pool.query<Row>({ ...SELECT_RECORDS, values: [keyIds] });
    return { asOfMs, rows };
  }
}

function newWaiting(asker: string): Waiting {
  let resolve!: Waiting['resolve'];
  let reject!: Waiting['reject'];
  const promise = new Promise<StoredRecord>((...settle) => {
    [resolve, reject] = settle;
  });
  return { asker, sinceMs: performance.now(), promise, resolve, reject };
}

function recordOf(keyId: string, row: Row): KeyRecord {
  return {
    keyId,
    version: row.version,
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
    importId: row.import_id,
    secrets: (row.secrets ?? []).map(
      ([number, digest, pepperVersion, issuedAtMs, validUntilMs, isEnded]) => ({
        number,
        digest,
        pepperVersion,
        issuedAtMs,
        validUntilMs,
        isEnded,
      }),
    ),
  };
}
