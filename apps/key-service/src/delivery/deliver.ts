import { SecretStoreError, type WritableSecretProvider } from '#key-client';

/** What became of a delivery. */
export type DeliveryOutcome =
  | { isDelivered: true; version: string | null }
  | {
      isDelivered: false;
      /** Whether the place said that it will not take the secret; otherwise it is away, and nobody knows for certain. */
      isRefusal: boolean;
      cause: unknown;
    };

/**
 * Puts a secret into its place. Where the place did not answer as it should it is asked whether the secret has arrived all the
 * same. How long that may take is the place's own bound.
 */
export async function deliver(
  place: WritableSecretProvider,
  secret: string,
): Promise<DeliveryOutcome> {
  try {
    const { version } = await place.write(secret);
    return { isDelivered: true, version };
  } catch (cause) {
    const isRefusal = cause instanceof SecretStoreError && cause.isRefusal;
    if (!isRefusal && (await holds(place, secret))) return { isDelivered: true, version: null };
    return { isDelivered: false, isRefusal, cause };
  }
}

async function holds(place: WritableSecretProvider, secret: string): Promise<boolean> {
  return (await place.read({ fresh: true }).catch(() => null)) === secret;
}
