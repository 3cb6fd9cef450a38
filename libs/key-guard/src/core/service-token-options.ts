import { z } from 'zod';

/** How a service gets its own tokens: OAuth 2 client credentials (RFC 6749, section 4.4). */
export interface ServiceTokenOptions {
  /** Token endpoint, `<LOGIN_URL>/oauth2/token`. */
  tokenUrl: string;
  clientId: string;
  /** This, or `clientAssertion`. */
  clientSecret?: string;
  /** As {@link file://./client-assertion.ts createClientAssertion} makes it: a new one for each request. */
  clientAssertion?: () => string;
  /** Name of the app that the token is for. */
  audience: string;
  /** Rights asked for, space-separated. */
  scope: string;
  /** Bound of one token request, in milliseconds; 3,000 by default. */
  timeoutMs?: number;
  /** PEM of authorities that are trusted for login instead of the usual ones. */
  ca?: string;
  /** Monotonic clock in milliseconds. */
  nowMs?: () => number;
}

const text = z.string('must be text').min(1, 'must not be empty');
const isFunction = (value: unknown) => typeof value === 'function';

const tokenOptions = z
  .strictObject({
    tokenUrl: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }),
    clientId: text,
    clientSecret: text.optional(),
    clientAssertion: z.custom(isFunction, 'must be a function').optional(),
    audience: text,
    scope: text,
    timeoutMs: z.number().min(10).max(60_000).optional(),
    ca: z.string().includes('BEGIN CERTIFICATE', 'must be PEM').optional(),
    nowMs: z.custom(isFunction, 'must be a function').optional(),
  })
  .refine((given) => (given.clientSecret === undefined) !== (given.clientAssertion === undefined), {
    path: ['clientSecret'],
    error: 'give this or clientAssertion, one of them',
    when: () => true,
  });

/**
 * Looks at options before any request: with wrong ones there would never be a token, and the app would answer 503 for ever.
 *
 * @throws Error naming each option that is missing, wrong or unknown, and no value
 */
export function checkTokenOptions(options: ServiceTokenOptions): void {
  const { error } = tokenOptions.safeParse(options);
  if (error) throw new Error(`Options of the service token are wrong:\n${z.prettifyError(error)}`);
}
