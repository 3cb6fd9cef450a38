import type { Slice } from './slices.js';

/** Rounds that may be spoilt however few are measured. */
const LEAST_REPEATED = 10;

/** What came of one round; `note` is called where all its answers were what is measured. */
export interface Round {
  slices: readonly Slice[];
  note: () => void;
}

/**
 * Measures some rounds, every other with all in reverse. Those whose answers are not what is measured are thrown away and repeated: as
 * many as were asked for at most, or ten.
 */
export async function repeat(
  rounds: number,
  run: (isReversed: boolean) => Promise<Round>,
): Promise<void> {
  let spoilt = 0;
  for (let round = 0; round < rounds;) {
    process.stdout.write(`\rround ${round + 1} of ${rounds} `);
    const { slices, note } = await run((round + spoilt) % 2 === 1);
    const spoiltBy = slices.find((one) => one.spoiltBy !== undefined)?.spoiltBy;
    if (spoiltBy === undefined) {
      round += 1;
      note();
    } else if (++spoilt > Math.max(rounds, LEAST_REPEATED)) {
      throw new Error(
        `Too many answers are not what is measured, such as:\n${spoiltBy.slice(0, 1_000)}`,
      );
    }
  }
  if (spoilt > 0)
    console.log(`\n${spoilt} rounds were thrown away for answers such as from the store`);
}
