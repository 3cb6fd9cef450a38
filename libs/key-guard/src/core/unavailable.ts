/** Nobody can say at present whether the key is good. */
export class VerificationUnavailable extends Error {
  override name = 'VerificationUnavailable';
}

/** The same where a replica was left that might have decided: nobody may go by what was known before. */
export class OthersLeft extends VerificationUnavailable {}

/** The key service answered with what cannot be a decision. */
export class OddAnswer extends Error {
  override name = 'OddAnswer';
}

/** It answered about a key what cannot be true: not even what was known of the key before may be gone by. */
export class Contradiction extends OddAnswer {
  override name = 'Contradiction';
}
