import type { Environment } from '#contracts';
import type { KeyRecord, KeyState, QuotaRecord } from './record.js';
import { RecordParts, type PackedGrant, type PackedLimit } from './record-parts.js';

/** First number of the array: raised when its members change, so that an older entry is read as none at all. */
const FORMAT = 4;

type Packed = [
  format: typeof FORMAT,
  keyId: string,
  version: number,
  consumer: string,
  consumerEnabled: 0 | 1,
  environment: Environment,
  state: KeyState,
  notBeforeMs: number | null,
  expiresAtMs: number | null,
  grants: PackedGrant[],
  rateLimits: PackedLimit[],
  quota: QuotaRecord | null,
  ipAllowlist: string[],
  metadata: Record<string, unknown>,
  importId: string | null,
  secrets: [
    number: number,
    digest: string,
    pepperVersion: number,
    issuedAtMs: number,
    validUntilMs: number | null,
    isEnded: 0 | 1,
  ][],
];
const PACKED_LENGTH = 16;

/** A record as short JSON, for the cache. It holds digests: whoever keeps it must keep others from writing it. */
export function encodeRecord(record: KeyRecord): string {
  const packed: Packed = [
    FORMAT,
    record.keyId,
    record.version,
    record.consumer,
    record.consumerEnabled ? 1 : 0,
    record.environment,
    record.state,
    record.notBeforeMs,
    record.expiresAtMs,
    record.grants.map((one) => [one.service, one.scopes]),
    record.rateLimits.map((one) => [
      one.name,
      one.limit,
      one.windowSeconds,
      one.sharedBy === undefined ? 0 : 1,
    ]),
    record.quota,
    record.ipAllowlist,
    record.metadata,
    record.importId,
    record.secrets.map((one) => [
      one.number,
      one.digest,
      one.pepperVersion,
      one.issuedAtMs,
      one.validUntilMs,
      one.isEnded ? 1 : 0,
    ]),
  ];
  return JSON.stringify(packed);
}

/**
 * The record that {@link encodeRecord} wrote. Check where the text comes from first: of its members only number and format
 * are looked at.
 *
 * @param parts what it may have in common with others that are read with the same: never change a record that was read
 * @throws Error for any other text, that of another format included; treat it as a miss
 */
export function decodeRecord(text: string, parts = new RecordParts()): KeyRecord {
  const packed = readPacked(text);
  return {
    keyId: packed[1],
    version: packed[2],
    consumer: parts.consumers.of(packed[3]),
    consumerEnabled: packed[4] === 1,
    environment: packed[5],
    state: packed[6],
    notBeforeMs: packed[7],
    expiresAtMs: packed[8],
    grants: parts.grants.of(packed[9]),
    rateLimits: parts.limits.of(packed[10]),
    quota: packed[11],
    ipAllowlist: parts.addresses.of(packed[12]),
    metadata: parts.metadata(packed[13]),
    importId: packed[14],
    secrets: packed[15].map(
      ([number, digest, pepperVersion, issuedAtMs, validUntilMs, isEnded]) => ({
        number,
        digest,
        pepperVersion,
        issuedAtMs,
        validUntilMs,
        isEnded: isEnded === 1,
      }),
    ),
  };
}

function readPacked(text: string): Packed {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Without the cause: a parser's message repeats the text, which holds digests.
  }
  if (Array.isArray(value) && value.length === PACKED_LENGTH && value[0] === FORMAT) {
    return value as Packed;
  }
  throw new Error(`Not a key record of format ${FORMAT}`);
}
