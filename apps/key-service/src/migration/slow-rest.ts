/** So that a process never has more than half of a processor; during a flood of wrong guesses a tenth. */
const RIGHT = 1;
const WRONG = 9;
/** Where it took longer than the dearest hash needs, it was others who had the processor. */
const LONGEST_MS = 5_000;
/** One that ended over a hash is not replaced sooner. */
const OF_THE_DEAD_MS = 250;

/**
 * How long a process that compares hashes rests after one.
 *
 * @param tookMs of the hash
 * @param isOver whether the process ended over it
 */
export function restMsAfter(
  tookMs: number,
  { isRight, isOver }: { isRight: boolean; isOver: boolean },
): number {
  const restMs = Math.min(tookMs * (isRight ? RIGHT : WRONG), LONGEST_MS);
  return isOver ? Math.max(restMs, OF_THE_DEAD_MS) : restMs;
}
