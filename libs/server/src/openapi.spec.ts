import { readdirSync, readFileSync } from 'node:fs';

const FOLDER = new URL('../../../../docs/api/', import.meta.url);

type Json = Record<string, unknown>;

function* referencesIn(value: unknown): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, one] of Object.entries(value))
    if (name === '$ref') yield one as string;
    else yield* referencesIn(one);
}

/** What a reference leads to, after those that it leads to; undefined where one of them leads nowhere or back. */
function meaningOf(document: Json, reference: string, seen: string[] = []): unknown {
  if (seen.includes(reference)) return undefined;
  let found: unknown = document;
  for (const step of reference.replace(/^#\//, '').split('/'))
    found = (found as Json | undefined)?.[step];
  const next = (found as { $ref?: string } | undefined)?.$ref;
  return next === undefined ? found : meaningOf(document, next, [...seen, reference]);
}

it.each(readdirSync(FOLDER))('in %s every reference leads to a schema', (name) => {
  const document = JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Json;
  const references = [...new Set(referencesIn(document))];
  expect(references).toContain('#/components/schemas/Problem');
  expect(references.filter((one) => meaningOf(document, one) === undefined)).toEqual([]);
});
