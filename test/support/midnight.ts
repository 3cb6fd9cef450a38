const DAY_MS = 86_400_000;
/** What the tests of a file may take where the machine is busy with others. */
const TESTS_MS = 180_000;

/** Limit of a `beforeAll` that waits for midnight and then starts what its tests need, in milliseconds. */
export const MIDNIGHT_LIMIT_MS = TESTS_MS + 120_000;

/** Waits for the next day (UTC) where this one ends soon: for tests of what is counted by the day or the month. */
export async function awayFromMidnight(): Promise<void> {
  const leftMs = DAY_MS - (Date.now() % DAY_MS);
  if (leftMs < TESTS_MS) await new Promise((resolve) => setTimeout(resolve, leftMs + 100));
}
