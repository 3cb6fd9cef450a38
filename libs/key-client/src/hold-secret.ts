import { SecretStoreError, type SecretProvider } from './secret-provider.js';

/** How long a key that is costly to read is used without asking again. */
export interface HoldOptions {
  /** Age from which the place is asked again, in the background, in milliseconds; 300,000 by default. */
  maxAgeMs?: number;
  /** Hears of every reading that failed while a key from before stays in use; nobody by default. */
  onError?: (error: unknown) => void;
}

const MAX_AGE_MS = 300_000;
const TRY_AGAIN_MS = 10_000;

/**
 * Keeps the key that `load` gives. Who reads gets the one that is held, at once; when it has reached its age it is read again
 * behind their backs. Several who need a reading share it. A reading that fails, or finds nothing, leaves the held key in use.
 */
export function holdSecret(
  load: () => Promise<string | null>,
  { maxAgeMs = MAX_AGE_MS, onError = () => undefined }: HoldOptions,
): Pick<SecretProvider, 'read' | 'refreshedAt'> {
  let held: string | null = null;
  let readAt: Date | null = null;
  let dueMs = 0;
  let running: Promise<string | null> | null = null;

  const reload = async (): Promise<string | null> => {
    try {
      const found = await load();
      dueMs = performance.now() + maxAgeMs;
      if (found !== null) {
        held = found;
        readAt = new Date();
      }
    } catch (error) {
      if (held === null) throw toStoreError(error);
      onError(error);
      dueMs = performance.now() + Math.min(maxAgeMs, TRY_AGAIN_MS);
    }
    return held;
  };
  const share = (): Promise<string | null> => {
    running ??= reload().finally(() => {
      running = null;
    });
    return running;
  };
  return {
    read: ({ fresh = false } = {}) => {
      // One that is under way may have looked too early for who wants a fresh one.
      if (fresh && running !== null) return running.then(share, share);
      if (fresh || held === null) return share();
      if (performance.now() >= dueMs) void share().catch(onError);
      return Promise.resolve(held);
    },
    refreshedAt: () => readAt,
  };
}

function toStoreError(error: unknown): SecretStoreError {
  if (error instanceof SecretStoreError) return error;
  return new SecretStoreError('The place of the key cannot be read', false, { cause: error });
}
