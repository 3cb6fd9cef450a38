import { z } from 'zod';
import { environment, slug } from '#contracts';
import type { ServiceToken } from './service-token.js';

const guardOptions = z.strictObject({
  /** Base URLs of the key service's replicas, at least one; when one does not decide, the next is asked. */
  urls: z.array(z.url({ protocol: /^https?$/ })).min(1),
  /** The service's own token, as `createServiceToken` makes it. */
  token: z.custom<ServiceToken>((value) => typeof value === 'function', 'must be a function'),
  /** Slug of the service whose routes are guarded: the audience that keys must be granted for. */
  service: slug,
  /**
   * `cached`: a verdict is used again for a while, as long as the change feed proves that nothing changed. `strict`: the key
   * service is asked about every request.
   */
  mode: z.enum(['cached', 'strict']).default('cached'),
  /** Keys of this environment may pass; those of the other are refused with `WRONG_ENVIRONMENT`. */
  environment: environment.default('live'),
  /** Bound of one question to one replica, in milliseconds. All tries of it take at most thrice that together. */
  timeoutMs: z.number().min(10).max(30_000).default(300),
  /** Keys that are remembered; those not seen for longest go first. */
  cacheSize: z.int().min(1).max(10_000_000).default(50_000),
  /** How long a verdict is used before the key is asked about again, in seconds. */
  ttlSeconds: z.number().min(0).max(60).default(60),
  /** How old the feed's last proof may be, in milliseconds; after that every request is asked about. */
  maxStalenessMs: z.number().min(600).max(2_000).default(2_000),
  /**
   * How long a verdict may be used while neither feed nor key service answer, in seconds; 0 switches that off. The service's
   * policy may say less.
   */
  graceSeconds: z.number().min(0).max(3_600).default(60),
  /** PEM of authorities that are trusted for the key service instead of the usual ones. */
  ca: z.string().includes('BEGIN CERTIFICATE', 'must be PEM').optional(),
  /**
   * Told of what an operator should know: why nothing can be verified, an odd answer, counts that could not be reported; the same every
   * ten seconds at most, and never a key. By default it is a warning of the process.
   */
  onFault: z
    .custom<(error: Error) => void>((value) => typeof value === 'function', 'must be a function')
    .optional(),
});

/** Where and as whom keys are verified, and how. */
export type KeyGuardOptions = z.input<typeof guardOptions>;
/** The same with every default. */
export type GuardSettings = z.output<typeof guardOptions>;

/** @throws Error naming each option that is missing, wrong or unknown */
export function readOptions(options: KeyGuardOptions): GuardSettings {
  const result = guardOptions.safeParse(options);
  if (result.success) return result.data;
  throw new Error(`Options of the key guard are wrong:\n${z.prettifyError(result.error)}`);
}
