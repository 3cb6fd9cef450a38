import { importMode, type ImportMode } from '#contracts';

/** What `npm run local-keys` is to do. */
export type Asked =
  | { does: 'hand-over' }
  | { does: 'take-over'; mayLoseQuotas: boolean }
  | { does: 'move'; mode: ImportMode };

/** Takes keys with a quota over too, which service-a does not count. */
const WITHOUT_QUOTA = '--without-quota';
const USAGE = `Say hand-over, take-over with or without ${WITHOUT_QUOTA}, or move with shadow, dual or cutover`;

/**
 * Reads the words of the command line.
 *
 * @throws Error with the usage, naming the word that is not known: all of them count, as what was not understood was meant, too
 */
export function whatIsAsked([what, ...words]: readonly string[]): Asked {
  const [word, ...rest] = words;
  if (what === 'hand-over') return nothingBeside(words, { does: what });
  if (what === 'take-over') {
    const mayLoseQuotas = word === WITHOUT_QUOTA;
    return nothingBeside(mayLoseQuotas ? rest : words, { does: what, mayLoseQuotas });
  }
  if (what !== 'move') throw unknown(what);
  const mode = importMode.safeParse(word);
  if (!mode.success) throw unknown(word);
  return nothingBeside(rest, { does: what, mode: mode.data });
}

function nothingBeside([word]: readonly string[], asked: Asked): Asked {
  if (word !== undefined) throw unknown(word);
  return asked;
}

function unknown(word: string | undefined): Error {
  return new Error(word === undefined ? USAGE : `${USAGE}; ${word} is not known there`);
}
