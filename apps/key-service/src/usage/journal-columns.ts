import type { UsageCount } from './usage-buffer.js';

const MINUTE_MS = 60_000;

/**
 * Counts as columns of a row of the journal: of the kinds their minutes since 1970, services, secrets, whether superseded, and
 * codes; of each count the place of its kind, from 1, the key, the count, and the last use in milliseconds after the minute
 * began, not before it where a clock was set back. As texts of arrays: the driver would make the same of them, in ten times the time.
 */
export function journalColumns(counts: readonly UsageCount[]): string[] {
  const { kinds, places } = kindsOf(counts);
  return [
    arrayOf(kinds.map((one) => one.minute)),
    arrayOf(kinds.map((one) => quoted(one.service))),
    arrayOf(kinds.map((one) => one.secretNumber)),
    arrayOf(kinds.map((one) => one.superseded)),
    arrayOf(kinds.map((one) => one.code)),
    arrayOf(places),
    arrayOf(counts.map((one) => quoted(one.keyId))),
    arrayOf(counts.map((one) => one.count)),
    arrayOf(counts.map((one) => Math.max(0, Math.floor(one.lastMs - one.minute * MINUTE_MS)))),
  ];
}

/** One of each kind, which most counts of a second have in common, and the place of each count's kind, from 1. */
function kindsOf(counts: readonly UsageCount[]): { kinds: UsageCount[]; places: number[] } {
  const kinds: UsageCount[] = [];
  let place = -1;
  const places = counts.map((one) => {
    if (place < 0 || !isOfKind(kinds[place]!, one)) {
      place = kinds.findIndex((other) => isOfKind(other, one));
      if (place < 0) place = kinds.push(one) - 1;
    }
    return place + 1;
  });
  return { kinds, places };
}

function isOfKind(kind: UsageCount, one: UsageCount): boolean {
  return (
    kind.minute === one.minute &&
    kind.service === one.service &&
    kind.secretNumber === one.secretNumber &&
    kind.superseded === one.superseded &&
    kind.code === one.code
  );
}

function arrayOf(values: readonly unknown[]): string {
  return `{${values.join(',')}}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
