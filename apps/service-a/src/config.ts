import { z } from 'zod';
import { DEFAULT_POLICY, environment, policy, slug, type Policy } from '#contracts';
import { databaseUrl } from '#postgres';
import { checkTokenEnv, port, secretBytes, serverEnv, tokenEnv } from '#server';

const CENTRAL_NEEDS = [
  'KEY_SERVICE_URL',
  'SERVICE_A_CLIENT_ID',
  'SERVICE_A_CLIENT_SECRET',
] as const;
const LOCAL_NEEDS = ['SERVICE_A_DATABASE_URL', 'SERVICE_A_KEY_SECRET'] as const;

const ownPolicy = z
  .string()
  .transform((text, ctx): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      ctx.addIssue({ code: 'custom', message: 'must be JSON' });
      return z.NEVER;
    }
  })
  .pipe(policy.partial())
  .transform((given): Policy => ({ ...DEFAULT_POLICY, ...(given as Partial<Policy>) }));

const baseUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

/** Settings of service-a. */
export const serviceAEnv = serverEnv
  .extend(tokenEnv.shape)
  .extend({
    SERVICE_A_PORT: port.default(4003),
    /** Base URL of login: logins are forwarded there, tokens and their keys come from there. */
    LOGIN_URL: baseUrl,
    /** `iss` of users' tokens; `LOGIN_URL` by default. */
    TOKEN_ISSUER: z.string().min(1).optional(),
    /** Base URLs of the key service's replicas, comma-separated. */
    KEY_SERVICE_URL: z
      .string()
      .transform((text) => text.split(',').map((one) => one.trim()))
      .pipe(z.array(baseUrl).min(1))
      .optional(),
    /** Whether verdicts on keys are used again while the change feed proves them, or each request is asked about. */
    KEY_GUARD_MODE: z.enum(['cached', 'strict']).default('cached'),
    /** Keys of this environment open the reports; those of the other do not. */
    SERVICE_A_ENVIRONMENT: environment.default('live'),
    /** The service account that this service calls the key service with. */
    SERVICE_A_CLIENT_ID: slug.optional(),
    SERVICE_A_CLIENT_SECRET: z.string().min(1).optional(),
    /** Who manages this service's keys: the key service, this service itself, or both while one takes over from the other. */
    SERVICE_A_KEYS: z.enum(['central', 'local', 'dual']).default('central'),
    /** PostgreSQL with the schema `service_a`, as its runtime role; for local and dual. */
    SERVICE_A_DATABASE_URL: databaseUrl.optional(),
    /** Root of the pepper of this service's own keys; for local and dual. */
    SERVICE_A_KEY_SECRET: secretBytes.optional(),
    /** In mode dual: how long keys that the key service has go on by its last word while it does not answer. */
    SERVICE_A_CENTRAL_GRACE_SECONDS: z.coerce.number().int().min(0).max(86_400).default(60),
    /** Policy of this service's own keys as JSON, merged with the platform's default. */
    SERVICE_A_KEY_POLICY: ownPolicy.default(DEFAULT_POLICY),
  })
  .superRefine(checkTokenEnv)
  .superRefine((env, ctx) => {
    const needed = [
      ...(env.SERVICE_A_KEYS === 'local' ? [] : CENTRAL_NEEDS),
      ...(env.SERVICE_A_KEYS === 'central' ? [] : LOCAL_NEEDS),
    ];
    for (const name of needed) {
      if (env[name] !== undefined) continue;
      const message = `is required where SERVICE_A_KEYS is ${env.SERVICE_A_KEYS}`;
      ctx.addIssue({ code: 'custom', path: [name], message });
    }
  })
  .transform((env) => ({ ...env, TOKEN_ISSUER: env.TOKEN_ISSUER ?? env.LOGIN_URL }));
export type ServiceAConfig = z.infer<typeof serviceAEnv>;
