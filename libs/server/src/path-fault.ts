import { pointerOf } from './pointer.js';
import { invalidField, ProblemException } from './problem-exception.js';
import type { ParametersOf } from './routes.js';
import { faultOfEncoded } from './text-fault.js';

/** In characters, of each part of a path that stands for something. */
export const MAX_PARAM_LENGTH = 128;

/**
 * The refusal of a path that holds NUL or is not percent-encoded as UTF-8 is; null where it is neither. It points to the parameter that
 * is at fault.
 */
export function faultOfPath(path: string, parametersOf: ParametersOf): ProblemException | null {
  if (!path.includes('%')) return null;
  for (const [name, text] of Object.entries(parametersOf(path))) {
    const detail = faultOfEncoded(text);
    if (detail !== null) return invalidField(pointerOf([name]), detail);
  }
  const detail = faultOfEncoded(path);
  return detail === null ? null : new ProblemException('INVALID_REQUEST', `Path: ${detail}`);
}
