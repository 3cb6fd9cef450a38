import { StandardSchemaValidationPipe } from '@nestjs/common';
import type { core, ZodType } from 'zod';
import { maskSecrets, type FieldError } from '#contracts';
import { ProblemException } from './problem-exception.js';

/**
 * Validates every parameter that names a zod schema (`@Body({ schema })`) and refuses with INVALID_REQUEST, the
 * first fault of each place: where, and what would be right. What was sent is never repeated, but for the name of an unknown property.
 */
export class SchemaPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({
      exceptionFactory: (issues) => invalidRequest(issues as core.$ZodIssue[]),
    });
  }

  /** Nothing is taken out in silence: a body with `__proto__` was refused when it was read, `constructor` is unknown. */
  protected override stripProtoKeys(): void {}
}

/** The same for a plain Fastify route whose schemas are zod's: give it as the route's `validatorCompiler`. */
export function validatorOf({ schema }: { schema: unknown }) {
  return (value: unknown) => {
    const result = (schema as ZodType).safeParse(value);
    return result.success ? { value: result.data } : { error: invalidRequest(result.error.issues) };
  };
}

function invalidRequest(issues: readonly core.$ZodIssue[]): ProblemException {
  const all = issues.flatMap(toFieldErrors);
  const errors = all
    .filter((one, i) => all.findIndex((other) => other.pointer === one.pointer) === i)
    .slice(0, 20);
  const detail = errors.map((one) => `${one.pointer || 'body'}: ${one.detail}`).join('; ');
  return new ProblemException('INVALID_REQUEST', detail.slice(0, 1_000), { errors });
}

function toFieldErrors(issue: core.$ZodIssue): FieldError[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => ({
      pointer: pointerOf([...issue.path, name]),
      code: 'UNKNOWN_PROPERTY',
      detail: 'This property is not known here; leave it out',
    }));
  }
  return [
    { pointer: pointerOf(issue.path), code: issue.code.toUpperCase(), detail: issue.message },
  ];
}

function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) =>
    String(part).slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1'),
  );
  return maskSecrets(parts.map((part) => `/${part}`).join(''));
}
