import type { core } from 'zod';
import { MISSING } from '#contracts';

/**
 * What a schema says of a member that was not sent, in the same words whatever it says of one that was; other faults as they are.
 *
 * @param given what the schema was asked about
 */
export function toldAsMissing(given: unknown): (issue: core.$ZodIssue) => core.$ZodIssue {
  return (issue) =>
    issue.code !== 'custom' && issue.path.length > 0 && valueAt(given, issue.path) === undefined
      ? { code: 'invalid_type', expected: 'nonoptional', path: issue.path, message: MISSING }
      : issue;
}

function valueAt(value: unknown, [name, ...rest]: readonly PropertyKey[]): unknown {
  if (name === undefined || value === null || value === undefined) return value;
  return valueAt((value as Record<PropertyKey, unknown>)[name], rest);
}
