import type { KeyRecord } from '#key-core';

/** Injection token of {@link ForeignKeys}. */
export const FOREIGN_KEYS = Symbol('FOREIGN_KEYS');

/** A presented text, and the key that it may be. */
export interface PresentedKey {
  keyId: string;
  text: string;
  /** Number of the key's secret that the text is, where that was made certain already; else its digest has to say so. */
  secretNumber?: number;
}

/** A text that may be the key of another platform. */
export interface ForeignText {
  text: string;
  service: string;
  clientIp?: string | undefined;
  /** Nothing but the answer comes of it: keys whose old side alone counts are found, too. */
  isDry: boolean;
}

/** It may be a key of an import that this replica cannot open: nobody can decide on it here. */
export class UnknownImport extends Error {
  constructor() {
    super('It may be a key of an import that cannot be opened here, as the log says');
  }
}

/** `busy` where so many such texts are looked at that this one is not, `unknown` where it may be a key of an {@link UnknownImport}. */
export type ForeignFound = PresentedKey | null | 'busy' | 'unknown';

/** Knows keys whose texts another platform has made. */
export interface ForeignKeys {
  /** Services that have such keys. */
  services(): Iterable<string>;
  /** Whether a text may be such a key of a service; from memory. */
  mayBe(given: ForeignText): boolean;
  /**
   * @returns the key, or null where there is none
   * @throws an outage error where PostgreSQL does not answer
   */
  find(given: ForeignText): Promise<ForeignFound>;
  /** Whether a text may be a key that is held back from a service, as its old side alone counts for it, or that is not known; from memory. */
  mayBeHeld(given: Pick<ForeignText, 'text' | 'service'>): boolean;
  /**
   * Whether a key that is there is held back: for the service it is none, but in dry runs; from memory. Also where that is not known,
   * which {@link ForeignKeys.requireKnown} tells apart.
   */
  isHeld(record: Pick<KeyRecord, 'importId'>, service: string): boolean;
  /** @throws Error where what is known of imports is too old to decide by, or the one that a key came with is not known */
  requireKnown(record: Pick<KeyRecord, 'importId'>, service: string): void;
}
