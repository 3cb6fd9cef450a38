/** Where a consumer's key comes from. Neither the provider nor its errors hold the key where they could be printed. */
export interface SecretProvider {
  /** Kind of the place, for people: `env`, `file`, `vault`, `aws` or a name of one's own. */
  readonly source: string;
  /** Which place that is, for people, such as `the file /run/secrets/key`: it is named where there is no key in it. */
  readonly place?: string;
  /** What is wrong with the place, such as `is empty`; asked where the last reading found no key. */
  readonly lack?: () => string;
  /**
   * The key as it is now, null where there is none. `fresh` reads the place anew even if nothing seems to have changed.
   *
   * @throws SecretStoreError where the place cannot be read and no key is known from before
   */
  read(options?: { fresh?: boolean }): Promise<string | null>;
  /** When the key in use was read, null before that. */
  refreshedAt(): Date | null;
}

/** A place that a key can also be put into. */
export interface WritableSecretProvider extends SecretProvider {
  /**
   * Puts a key in the place of the one that is there.
   *
   * @throws SecretStoreError
   */
  write(secret: string): Promise<WrittenSecret>;
}

/** What a place says of a key that it has taken. */
export interface WrittenSecret {
  /** How the place names this version of it, null where it has no versions. */
  version: string | null;
}

/** A place could not be read or written. The message holds neither a key nor what opens the place. */
export class SecretStoreError extends Error {
  override name = 'SecretStoreError';

  /**
   * @param isRefusal whether the place has answered that it will not; otherwise it did not answer as it should, and what
   *   was to be written may be there or not
   */
  constructor(
    message: string,
    readonly isRefusal: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
