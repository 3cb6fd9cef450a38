/** What the protocol rests on. Each rule can be left out, to see that something goes wrong without it. */
export const RULES = [
  /** Who fills must still hold the right that was taken before the read. */
  'lease',
  /** A change leaves a marker, never the new state. */
  'marker',
  /** An entry is believed only in the epoch that it was filled in. */
  'epoch',
  /** The epoch is believed only as long as PostgreSQL was read a moment ago, or cannot be read by anybody. */
  'fence',
  /** A Redis whose run is not listed makes the epoch a new one before anything of it is believed. */
  'runs',
  /** A change whose overwrite failed raises the epoch. */
  'raise',
  /** Who raises the epoch waits until the others have heard of it. */
  'wait',
  /** Who raises the epoch goes by it at once. */
  'adopt',
  /** Those who may be in grace are waited for as well. */
  'grace',
  /** What a replica reports is its last reading that arrived, not the one under way. */
  'arrived',
] as const;

export type Rule = (typeof RULES)[number];
