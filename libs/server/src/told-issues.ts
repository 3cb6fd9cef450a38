import type { core, ZodType } from 'zod';
import { UNKNOWN } from '#contracts';
import { likelyMember } from './likely-member.js';
import { toldAsMissing } from './told-as-missing.js';

/**
 * What is wrong with a value that its schema refuses, as it is told: of what is missing that it is, and of each member that is not known
 * by itself which one was likely meant. It is looked at again, so that what is right costs nothing of this.
 */
export function toldIssues(schema: ZodType, given: unknown): core.$ZodIssue[] {
  const knownBeside = new Map<readonly string[], string[]>();
  const { error } = schema.safeParse(given, {
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') knownBeside.set(issue.keys, membersOf(issue.inst));
      return undefined;
    },
  });
  const eachAlone = (issue: core.$ZodIssue): core.$ZodIssue[] => {
    const known = issue.code === 'unrecognized_keys' ? knownBeside.get(issue.keys) : undefined;
    if (issue.code !== 'unrecognized_keys' || known === undefined) return [issue];
    return issue.keys.map((name) => ({ ...issue, keys: [name], message: unknown(name, known) }));
  };
  return (error?.issues ?? []).map(toldAsMissing(given)).flatMap(eachAlone);
}

function membersOf(schema: core.$ZodRawIssue['inst']): string[] {
  const { shape = {} } = (schema as { _zod: { def: { shape?: object } } })._zod.def;
  return Object.keys(shape);
}

function unknown(name: string, known: readonly string[]): string {
  const likely = likelyMember(name, known);
  return likely === null ? UNKNOWN : `${UNKNOWN}, or did you mean ${likely}?`;
}
