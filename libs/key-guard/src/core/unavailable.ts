/** Nobody can say at present whether the key is good. */
export class VerificationUnavailable extends Error {
  override name = 'VerificationUnavailable';
}

/** The key service answered with what cannot be a decision. */
export class OddAnswer extends Error {
  override name = 'OddAnswer';
}
