import type { Logger } from 'pino';
import { ConfigError } from './load-config.js';
import { isOutage } from './outage.js';
import { reasonOf } from './reason-of.js';

/** PostgreSQL's `undefined_table` and `invalid_schema_name`. */
const NO_SCHEMA = ['42P01', '3F000'];
/** What the driver refuses by itself, and gives no code. */
const OWN_REFUSALS = /^(?:The server does not support SSL|SASL)/;
const PAUSE_MS = 500;

/** A database as its operator knows it. */
export interface NamedDatabase {
  /** The setting that its connection string is from. */
  variable: string;
  /** `host:port` of each of its servers. */
  servers: readonly string[];
}

/** How long to try, and where to tell what is waited for. */
export interface ConnectWithinOptions {
  limitMs: number;
  log: Logger;
  database: NamedDatabase;
}

/**
 * Tries until it works, for an app that starts together with its database. What it waits for is a warning, told once for each reason.
 *
 * @param connect connects, and reads something that the migrations have made
 * @throws ConfigError naming the setting, after `limitMs`, or at once where the database refuses or has no schema; any other error as it
 *   comes
 */
export async function connectWithin(
  { limitMs, log, database }: ConnectWithinOptions,
  connect: () => Promise<void>,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  let told = '';
  for (;;) {
    try {
      return await connect();
    } catch (cause) {
      const refusal = refusalOf(cause, database);
      if (refusal !== null) throw new ConfigError(refusal, { cause });
      if (!isOutage(cause)) throw cause;
      const why = reasonOf(cause);
      if (performance.now() > endMs) throw new ConfigError(late(limitMs, why, database), { cause });
      if (why !== told) log.warn({ why }, `waiting for ${named(database)}`);
      told = why;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** `the PostgreSQL that DATABASE_URL names, at 127.0.0.1:5432` */
function named({ variable, servers }: NamedDatabase): string {
  return `the PostgreSQL that ${variable} names, at ${servers.join(', ')}`;
}

function late(limitMs: number, why: string, database: NamedDatabase): string {
  return `After ${limitMs / 1_000} s ${named(database)}, does not answer (${why}). ${whatToDo(database)}`;
}

/** Null where it may yet come, or the fault is another. */
function refusalOf(error: unknown, database: NamedDatabase): string | null {
  const { code } = error as { code?: unknown };
  const why = reasonOf(error);
  if (NO_SCHEMA.includes(code as string))
    return `There is no schema yet (${why}) in ${named(database)}; run the migrations: npm run migrate`;
  const isOfDatabase = typeof code === 'string' || OWN_REFUSALS.test(why);
  if (!isOfDatabase || isOutage(error)) return null;
  return `It cannot be worked with ${named(database)} (${why}). ${whatToDo(database)}`;
}

function whatToDo({ variable }: NamedDatabase): string {
  return `Set ${variable} to one that runs and lets this service in; \`npm start\` brings one of its own`;
}
