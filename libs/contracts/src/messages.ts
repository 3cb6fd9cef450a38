import { z } from 'zod';

type Issue = Parameters<z.core.$ZodErrorMap>[0];

const NOUNS: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** What is said of a member that is missing. */
export const MISSING = 'This is required';
/** What is said of a member or parameter that nobody knows. */
export const UNKNOWN = 'This property is not known here; leave it out';

/**
 * An object's own words where it is given members that it does not know: some of them are at home elsewhere.
 *
 * @param homes where, by their names
 */
export function unlessAtHome(
  homes: Readonly<Record<string, string>>,
): (issue: { readonly code: string; readonly keys?: unknown }) => string | undefined {
  return ({ code, keys }) => {
    if (code !== 'unrecognized_keys') return undefined;
    const told = (keys as string[])
      .filter((name) => Object.hasOwn(homes, name))
      .map((name) => homes[name]);
    return told.length === 0 ? undefined : [UNKNOWN, ...new Set(told)].join('; ');
  };
}

/**
 * What zod says where a schema has no message of its own: what would be right, in plain words, and never what was sent.
 */
export const plainMessages: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? MISSING : `Use ${formOfType(issue)}`;
    case 'too_small':
      return boundOf(issue, 'at least', issue.minimum);
    case 'too_big':
      return boundOf(issue, 'at most', issue.maximum);
    case 'invalid_value':
      return `Use one of ${issue.values.map(String).join(', ')}`;
    case 'unrecognized_keys':
      return UNKNOWN;
    case 'invalid_union':
      return formOf(issue);
    default:
      return undefined;
  }
};

/** Of what has members or items the schema's own example says more than the noun. */
function formOfType({ expected, inst }: z.core.$ZodRawIssue<z.core.$ZodIssueInvalidType>): string {
  const noun = NOUNS[expected] ?? expected;
  const { examples = [] } = z.globalRegistry.get(inst as z.ZodType) ?? {};
  const [example] = examples as unknown[];
  return typeof example === 'object' ? `${noun} such as ${JSON.stringify(example)}` : noun;
}

/** The forms have names where a member tells them apart. */
function formOf(issue: Issue): string {
  const names = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  if (names.length === 0) return 'Use one of the forms that the API description gives';
  return `Use one of ${names.map(String).join(', ')}`;
}

function boundOf(issue: Issue, word: string, bound: number | bigint): string {
  const origin = 'origin' in issue ? issue.origin : undefined;
  const noun = origin === 'string' ? ' character' : origin === 'array' ? ' item' : '';
  return `Use ${word} ${bound}${noun}${noun !== '' && Number(bound) !== 1 ? 's' : ''}`;
}
