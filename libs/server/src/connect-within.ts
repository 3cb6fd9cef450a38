import type { Logger } from 'pino';
import { ConfigError } from './load-config.js';
import { isOutage } from './outage.js';

/** PostgreSQL's `undefined_table` and `invalid_schema_name`. */
const NO_SCHEMA = ['42P01', '3F000'];
const PAUSE_MS = 500;

/**
 * Tries until it works, for an app that starts together with its database.
 *
 * @param connect connects, and reads something that the migrations have made
 * @throws ConfigError after `limitMs`, or at once where the schema is not there; any other error that is no outage as it comes
 */
export async function connectWithin(
  limitMs: number,
  log: Logger,
  connect: () => Promise<void>,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    try {
      return await connect();
    } catch (cause) {
      const { code, message } = cause as { code?: string; message: string };
      if (code !== undefined && NO_SCHEMA.includes(code))
        throw new ConfigError('The schema is not there yet; run the migrations', { cause });
      if (!isOutage(cause)) throw cause;
      if (performance.now() > endMs)
        throw new ConfigError(
          `The database did not answer within ${limitMs / 1_000} s: ${message}`,
          { cause },
        );
      log.warn({ err: cause }, 'waiting for the database');
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
