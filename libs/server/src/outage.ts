/** PostgreSQL classes and codes, and socket errors, that say "not now" rather than "wrong": worth a 503 and a retry. */
const OUTAGE_CODES =
  /^(?:08...|53...|57P0[1-5]|57014|55P03|25006|ECONN(?:REFUSED|RESET|ABORTED)|ETIMEDOUT|EPIPE|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;
const OUTAGE_MESSAGES =
  /timeout exceeded when trying to connect|Connection terminated|Connection ended|Query read timeout|Connection is closed|Command timed out|max retries per request|Stream isn't writeable|is not queryable|DataSource is not (?:set|initialized)|Driver not Connected/i;

/**
 * Whether an error of a driver means that the database or cache cannot be reached or will not answer at present. Looks at
 * `code` and message only, through causes and TypeORM's `driverError`, so that no driver is imported here.
 */
export function isOutage(error: unknown): boolean {
  return chainOf(error).some(({ code, message }) => {
    const byCode = typeof code === 'string' && OUTAGE_CODES.test(code);
    return byCode || (typeof message === 'string' && OUTAGE_MESSAGES.test(message));
  });
}

/** The error and what it wraps, at most five deep. */
function chainOf(error: unknown, depth = 0): Record<string, unknown>[] {
  if (typeof error !== 'object' || error === null || depth > 4) return [];
  const own = error as Record<string, unknown>;
  const wrapped = [
    own['cause'],
    own['driverError'],
    ...(Array.isArray(own['errors']) ? own['errors'] : []),
  ];
  return [own, ...wrapped.flatMap((one) => chainOf(one, depth + 1))];
}
