import { ProblemException } from '#server';

/**
 * Refuses a change whose `If-Match` (RFC 9110, section 13.1.1) does not name the present version; passes where none was sent.
 *
 * @throws ProblemException VERSION_MISMATCH
 */
export function checkVersion(ifMatch: string | undefined, version: number): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  if (ifMatch.split(',').some((tag) => tag.trim() === tagOf(version))) return;
  throw new ProblemException(
    'VERSION_MISMATCH',
    'Read it again and repeat the change on what it is now',
  );
}

/** The entity tag of a version. */
export function tagOf(version: number): string {
  return `"${version}"`;
}
