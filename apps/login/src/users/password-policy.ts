import { invalidField } from '#server';

const MIN_CHARACTERS = 15;

/** One visible password is one password, however its characters were composed (SP 800-63B-4, section 3.1.1.2). */
export function normalisePassword(password: string): string {
  return password.normalize('NFKC');
}

/**
 * Refuses a new password that is too short or easy to guess.
 *
 * @throws ProblemException INVALID_REQUEST at `/password`, saying why
 */
export function checkNewPassword(password: string, username: string): void {
  const fault = faultOfLength(password) ?? faultOfContext(password, username);
  if (fault !== null) throw invalidField('/password', fault);
}

/** What is wrong with a password by itself, or null. */
export function faultOfLength(password: string): string | null {
  const text = normalisePassword(password);
  if (Array.from(text).length < MIN_CHARACTERS) return `Use at least ${MIN_CHARACTERS} characters`;
  return isCommon(text) ? 'Choose another password: this one is among the first to be tried' : null;
}

/** What is wrong with a password of this very person here, or null. */
export function faultOfContext(password: string, username: string): string | null {
  const text = normalisePassword(password).toLowerCase();
  if (text.includes('keyward')) return 'Leave the name of this platform out of the password';
  const name = username.split('@')[0]!;
  const isNamed = name.length >= 3 && text.includes(name);
  return isNamed ? 'Leave the user name out of the password' : null;
}

/** Words that lists of leaked passwords are made of; a password of nothing but them, digits and signs is one of those. */
const COMMON_WORDS =
  /pass(?:word|wort|phrase|code)|qwert[yz](?:uiop)?|asdf(?:gh(?:jkl)?)?|[zy]xcvbn?m?|letmein|welcome|administrator|admin|iloveyou|login|secret|master|monkey|dragon|sunshine|princess|football|baseball|superman|trustno|changeme|default|correct ?horse ?battery ?staple|abc(?:def(?:ghij)?)?|test|user|root|guest/g;

const LEET: Record<string, string> = { '0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't' };

function isCommon(password: string): boolean {
  const text = password.toLowerCase();
  const plain = text.replace(/[013457@$]/g, (sign) => LEET[sign] ?? (sign === '@' ? 'a' : 's'));
  return [text, plain].some((one) => {
    const rest = one.replace(COMMON_WORDS, '');
    return rest.length < one.length ? !/\p{L}/u.test(rest) : isSequence(one);
  });
}

/** Digits and signs only, in one run such as 123456789012345. */
function isSequence(text: string): boolean {
  const steps = Array.from(text)
    .slice(1)
    .map((sign, at) => sign.charCodeAt(0) - text.charCodeAt(at));
  return /^\d+$/.test(text) && steps.every((step) => step === 1 || step === -9);
}
