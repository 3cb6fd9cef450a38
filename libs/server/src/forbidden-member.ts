import { MAX_DEPTH } from './body-rules.js';

/**
 * The path of the first member of a JSON text that reaches for a prototype: `__proto__`, or `prototype` in `constructor`. Null where
 * there is none, or none within the depth that a body may have.
 *
 * @param json a valid JSON text
 */
export function forbiddenMember(json: string): string[] | null {
  return pathIn(JSON.parse(json), []);
}

function pathIn(value: unknown, path: readonly string[]): string[] | null {
  if (typeof value !== 'object' || value === null || path.length >= MAX_DEPTH) return null;
  for (const [name, member] of Object.entries(value)) {
    const place = [...path, name];
    const isForbidden =
      name === '__proto__' || (name === 'prototype' && path.at(-1) === 'constructor');
    const found = isForbidden ? place : pathIn(member, place);
    if (found !== null) return found;
  }
  return null;
}
