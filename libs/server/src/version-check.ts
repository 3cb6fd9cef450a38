import { ProblemException } from './problem-exception.js';

/**
 * Refuses a change whose `If-Match` (RFC 9110, section 13.1.1) does not name the present version; passes where none was sent.
 *
 * @throws ProblemException VERSION_MISMATCH, or INVALID_HEADER where it is no list of entity tags
 */
export function checkVersion(ifMatch: string | undefined, version: number): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (!tags.every((tag) => /^(?:W\/)?"[\x21\x23-\x7e]{0,64}"$/.test(tag)))
    throw new ProblemException('INVALID_HEADER', 'Send If-Match as the ETag was given, quotes too');
  if (tags.includes(tagOf(version))) return;
  throw new ProblemException('VERSION_MISMATCH', tags.some(isOurs) ? CHANGED : NOT_OURS);
}

const CHANGED = 'Read it again and repeat the change on what it is now';
const NOT_OURS = 'No ETag of this service looks so; send the one of the last answer, such as "3"';

/** Weak ones are made by proxies, and match nothing here. */
function isOurs(tag: string): boolean {
  return /^"[1-9]\d*"$/.test(tag);
}

/** The entity tag of a version. */
export function tagOf(version: number): string {
  return `"${version}"`;
}
