import { ProblemException } from './problem-exception.js';

/** An entity tag (RFC 9110, section 8.8.3), which may hold commas. */
const TAG = /(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g;

/**
 * Refuses a change whose `If-Match` (RFC 9110, section 13.1.1) does not name the present version; passes where none was sent. Tags are
 * compared strongly: a weak one matches nothing.
 *
 * @param alike the first version since which nobody has changed anything; all from there on are as good as the present one
 * @throws ProblemException VERSION_MISMATCH, or INVALID_HEADER where it is neither `*` nor a list of entity tags
 */
export function checkVersion(ifMatch: string | undefined, version: number, alike = version): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags: string[] = ifMatch.match(TAG) ?? [];
  // empty elements of a list are none (section 5.6.1)
  const elements = ifMatch.replaceAll(TAG, '""').split(',');
  if (tags.length === 0 || !elements.every((one) => ['', '""'].includes(one.trim())))
    throw new ProblemException('INVALID_HEADER', NO_TAG);
  for (let one = version; one >= alike; one -= 1) if (tags.includes(tagOf(one))) return;
  throw new ProblemException('VERSION_MISMATCH', mismatchOf(tags));
}

const NO_TAG = 'Send If-Match as the ETag of the last answer, quotes too, such as "3"';
const CHANGED = 'Read it again and repeat the change on what it is now';
const WEAK =
  'A weak tag matches nothing: send the ETag of the last answer, such as "3", without W/, which a proxy may have put before it';
const NOT_OURS = 'No ETag of this service looks so; send the one of the last answer, such as "3"';

function mismatchOf(tags: readonly string[]): string {
  if (tags.some((tag) => /^"[1-9]\d*"$/.test(tag))) return CHANGED;
  return tags.some((tag) => /^W\/"[1-9]\d*"$/.test(tag)) ? WEAK : NOT_OURS;
}

/** The entity tag of a version. */
export function tagOf(version: number): string {
  return `"${version}"`;
}
