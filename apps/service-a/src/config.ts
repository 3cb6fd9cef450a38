import { z } from 'zod';
import { slug } from '#contracts';
import { checkTokenEnv, port, serverEnv, tokenEnv } from '#server';

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
      .pipe(z.array(baseUrl).min(1)),
    /** Whether verdicts on keys are used again while the change feed proves them, or each request is asked about. */
    KEY_GUARD_MODE: z.enum(['cached', 'strict']).default('cached'),
    /** The service account that this service calls the key service with. */
    SERVICE_A_CLIENT_ID: slug,
    SERVICE_A_CLIENT_SECRET: z.string().min(1),
  })
  .superRefine(checkTokenEnv)
  .transform((env) => ({ ...env, TOKEN_ISSUER: env.TOKEN_ISSUER ?? env.LOGIN_URL }));
export type ServiceAConfig = z.infer<typeof serviceAEnv>;
