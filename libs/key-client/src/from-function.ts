import { holdSecret, type HoldOptions } from './hold-secret.js';
import type { SecretProvider } from './secret-provider.js';

/** How a function of one's own is used. */
export interface FromFunctionOptions extends HoldOptions {
  /** Name of the place, for people; `function` by default. */
  source?: string;
}

/**
 * The key that a function gives, null where there is none. It is called when the key is first needed, when the one it gave
 * has reached its age, and when a service refuses that one or says that it ends.
 */
export function fromFunction(
  load: () => string | null | Promise<string | null>,
  { source = 'function', ...hold }: FromFunctionOptions = {},
): SecretProvider {
  return { source, ...holdSecret(() => Promise.resolve().then(load), hold) };
}
