import { digestKey, parseKeyText } from '#key-core';
import type { Cluster } from './cluster.js';
import { readRows, type KeyRow } from './key-rows.js';
import type { Stores } from './stores.js';
import type { World } from './world.js';

/**
 * Asks every replica about every secret, by a plain question of the service that the keys are for, when nothing is under way
 * any more.
 *
 * @returns answers that are not what the rows say, in words; nothing where all are right
 */
export async function wrongCodes(
  cluster: Cluster<Stores>,
  world: World,
  secrets: readonly string[],
): Promise<string[]> {
  const rows = new Map((await readRows(cluster)).map((row) => [row.id, row]));
  const wrong: string[] = [];
  for (const secret of secrets) {
    const { keyId } = parseKeyText(secret)!;
    const number = numberOf(secret, rows.get(keyId)!, cluster.material.pepper);
    const before = codeBy(rows.get(keyId)!, number, Date.now());
    const codes = await world.codes(secret);
    const after = codeBy(rows.get(keyId)!, number, Date.now());
    const isRight = codes.every((code) => code === before || code === after);
    if (!isRight) wrong.push(`secret ${number} of ${keyId} is ${after}, told was ${codes.join()}`);
  }
  return wrong;
}

/** The number of a secret by what is stored of it, 0 where that is not there. */
function numberOf(text: string, { secrets }: KeyRow, pepper: Buffer): number {
  const digest = digestKey(pepper, text).toString('base64');
  return secrets.find((one) => one.digest === digest)?.number ?? 0;
}

/** What a key's row says to somebody who presents one of its secrets; of those two are known at a time. */
function codeBy({ secrets, ...key }: KeyRow, number: number, nowMs: number): string {
  const last = Math.max(...secrets.map((one) => one.number));
  const secret = secrets.find((one) => one.number === number);
  const isOver = (endMs: number | null) => endMs !== null && endMs <= nowMs;
  if (secret === undefined || number < last - 1) return 'NOT_FOUND';
  if (!key.grants.some((one) => one.service === 'service-a')) return 'NOT_FOUND';
  if (key.state === 'revoked') return 'REVOKED';
  if (key.state === 'disabled' || !key.consumerEnabled) return 'DISABLED';
  if (secret.isEnded || isOver(secret.validUntilMs)) return 'SUPERSEDED';
  return isOver(key.expiresAtMs) ? 'EXPIRED' : 'VALID';
}
