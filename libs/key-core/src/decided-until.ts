import type { KeyRecord, SecretRecord } from './record.js';

/**
 * Until when `decide` says what it says now of a record, a secret and a request, as long as none of the three changes: the next
 * time that it looks at, which is the first moment it may say otherwise. `Infinity` where there is none.
 */
export function decidedUntilMs(
  { notBeforeMs, expiresAtMs }: KeyRecord,
  secret: SecretRecord | null,
  nowMs: number,
): number {
  let untilMs = Infinity;
  for (const atMs of [notBeforeMs, expiresAtMs, secret?.validUntilMs ?? null])
    if (atMs !== null && !(atMs <= nowMs)) untilMs = Math.min(untilMs, atMs);
  return untilMs;
}
