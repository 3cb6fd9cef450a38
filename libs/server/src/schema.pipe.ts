import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import type { core, z, ZodType } from 'zod';
import type { FieldCode, FieldError } from '#contracts';
import './plain-messages.js';
import { pointerOf } from './pointer.js';
import { invalidField, ProblemException } from './problem-exception.js';
import { toldIssues } from './told-issues.js';

/**
 * Validates every parameter that names a zod schema (`@Body({ schema })`) and refuses with INVALID_REQUEST, with the first
 * fault of each place: where, and what would be right. What was sent is never repeated, but for the name of an unknown
 * property. Nothing is taken out in silence.
 */
export class SchemaPipe implements PipeTransform {
  transform(value: unknown, { schema, type, data }: ArgumentMetadata): unknown {
    if (schema === undefined || type === 'custom') return value;
    if (type === 'query') refuseRepeated(value as Record<string, unknown>);
    // of a body that was not sent each missing property is named
    const given = type === 'body' && value === undefined ? {} : value;
    const result = (schema as unknown as ZodType).safeParse(given);
    if (result.success) return result.data;
    const told = toldIssues(schema as unknown as ZodType, given);
    throw invalidRequest(told, data === undefined ? [] : [data]);
  }
}

/**
 * The same for a plain Fastify route, which calls it when it knows who asks.
 *
 * @returns what makes of a body what the schema says, or throws INVALID_REQUEST, or why the body could not be read
 */
export function parserOf<S extends ZodType>(schema: S): (body: unknown) => z.output<S> {
  return (body) => {
    if (body instanceof ProblemException) throw body;
    const result = schema.safeParse(body);
    if (result.success) return result.data;
    throw invalidRequest(toldIssues(schema, body), []);
  };
}

/** What is named twice in a query comes as a list. */
function refuseRepeated(query: Record<string, unknown>): void {
  const repeated = Object.keys(query).find((name) => Array.isArray(query[name]));
  if (repeated !== undefined) throw invalidField(pointerOf([repeated]), 'Name this parameter once');
}

function invalidRequest(
  issues: readonly core.$ZodIssue[],
  place: readonly string[],
): ProblemException {
  const told = issues.filter(
    (one) =>
      (!isOfAllNumbers(one) || !issues.some(isNearer(one))) &&
      !(isOfWhole(one) && issues.some(isUnknown)),
  );
  const all = told.flatMap((issue) => toFieldErrors(issue, place));
  const errors = all
    .filter((one, i) => all.findIndex((other) => other.pointer === one.pointer) === i)
    .slice(0, 20);
  const detail = errors.map((one) => `${one.pointer || 'body'}: ${one.detail}`).join('; ');
  return new ProblemException('INVALID_REQUEST', detail.slice(0, 1_000), { errors });
}

/** The bound of every whole number that a double holds exactly: true, and of no use where the place has one of its own. */
function isOfAllNumbers(issue: core.$ZodIssue): boolean {
  const bound =
    issue.code === 'too_big' ? issue.maximum : issue.code === 'too_small' && issue.minimum;
  return typeof bound === 'number' && Math.abs(bound) === Number.MAX_SAFE_INTEGER;
}

/** What a whole lacks does not matter to who has sent something else that was meant. */
function isOfWhole({ code, path }: core.$ZodIssue): boolean {
  return code === 'custom' && path.length === 0;
}

function isUnknown({ code }: core.$ZodIssue): boolean {
  return code === 'unrecognized_keys';
}

function isNearer(far: core.$ZodIssue): (other: core.$ZodIssue) => boolean {
  const place = JSON.stringify(far.path);
  return (other) => !isOfAllNumbers(other) && JSON.stringify(other.path) === place;
}

/** Codes of field errors; those of zod that say nothing more to a caller are `INVALID_VALUE`. */
const CODES: Partial<Record<core.$ZodIssue['code'], FieldCode>> = {
  invalid_type: 'INVALID_TYPE',
  too_small: 'TOO_SMALL',
  too_big: 'TOO_BIG',
  invalid_format: 'INVALID_FORMAT',
  unrecognized_keys: 'UNKNOWN_PROPERTY',
};

function toFieldErrors(issue: core.$ZodIssue, place: readonly string[]): FieldError[] {
  const code = CODES[issue.code] ?? 'INVALID_VALUE';
  const path = [...place, ...issue.path];
  const paths =
    issue.code === 'unrecognized_keys' ? issue.keys.map((name) => [...path, name]) : [path];
  return paths.map((one) => ({ pointer: pointerOf(one), code, detail: issue.message }));
}
