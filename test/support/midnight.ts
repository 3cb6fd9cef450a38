const DAY_MS = 86_400_000;

/**
 * Waits for the next day (UTC) where this one ends soon: for tests of what is counted by the day or the month.
 *
 * @param forMs how long the test may take at most
 */
export async function awayFromMidnight(forMs = 60_000): Promise<void> {
  const leftMs = DAY_MS - (Date.now() % DAY_MS);
  if (leftMs < forMs) await new Promise((resolve) => setTimeout(resolve, leftMs + 100));
}
