import { importItem, type ImportItem, type ImportResult, type LegacyScheme } from '#contracts';
import { isFast, isWeak, readFastDigest, readSlowHash, type SlowAlgorithm } from '#key-core/legacy';
import { toldIssues } from '#server';
import type { Trace } from './import-secrets.js';

/** What is wrong with an item: where in it, and what would be right. */
export type ItemFault = NonNullable<ImportResult['error']>;

/** An item that can be read. */
export interface ReadItem {
  index: number;
  given: ImportItem;
  trace: Trace;
  isWeak: boolean;
}

/** An item that is a key already. */
export interface KnownItem {
  index: number;
  item: string;
  keyId: string;
  isWeak: boolean;
}

/** An item that is not taken. */
export interface BadItem {
  index: number;
  item: string | null;
  fault: ItemFault;
}

/** Reads an item as far as it can be read by itself. */
export function readItem(value: object, index: number, scheme: LegacyScheme): ReadItem | BadItem {
  const parsed = importItem.safeParse(value);
  if (!parsed.success) {
    const { item } = value as { item?: unknown };
    const issue = toldIssues(importItem, value)[0]!;
    const pointer = issue.path.map((step) => `/${String(step)}`).join('');
    const known = typeof item === 'string' && importItem.shape.item.safeParse(item).success;
    return { index, item: known ? item : null, fault: invalid(pointer, issue.message) };
  }
  const { data: given } = parsed;
  const isNamed = given.supersedes === undefined || given.id !== undefined;
  const trace = isNamed
    ? traceOf(given, scheme)
    : invalid('/id', 'Say which key has the new secret');
  if ('detail' in trace) return { index, item: given.item, fault: trace };
  return { index, given, trace, isWeak: isWeak(scheme, given.hash, given.entropyBits) };
}

/** A fault of the request itself. */
export function invalid(pointer: string, detail: string): ItemFault {
  return { code: 'INVALID_REQUEST', pointer, detail };
}

function traceOf({ hash, locator }: ImportItem, scheme: LegacyScheme): Trace | ItemFault {
  if (isFast(scheme)) {
    if (locator !== undefined)
      return invalid('/locator', 'The scheme has no locator; leave it out');
    const digest = readFastDigest(scheme, hash);
    const wanted = `Use a ${scheme.algorithm} digest in ${scheme.encoding}`;
    return digest === null ? invalid('/hash', wanted) : { digest };
  }
  if (locator === undefined) return invalid('/locator', "Say what the scheme's locator finds");
  const read = readSlowHash(scheme.algorithm as SlowAlgorithm, hash);
  return typeof read === 'string' ? invalid('/hash', read) : { locator };
}
