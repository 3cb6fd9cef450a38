import { z } from 'zod';
import { checkTokenEnv, port, serverEnv, tokenEnv } from '#server';

const baseUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' });

/** Settings of service-b. */
export const serviceBEnv = serverEnv
  .extend(tokenEnv.shape)
  .extend({
    SERVICE_B_PORT: port.default(4004),
    /** Base URL of login: the keys of users' tokens come from there. */
    LOGIN_URL: baseUrl,
    /** `iss` of users' tokens; `LOGIN_URL` by default. */
    TOKEN_ISSUER: z.string().min(1).optional(),
    /** Base URL of the service that this one reads reports from. */
    SERVICE_A_URL: baseUrl,
    /** The key for service-a ... */
    SERVICE_B_API_KEY: z.string().optional(),
    /** ... or a file with it, which wins, may come later and is read again when it changes. */
    SERVICE_B_API_KEY_FILE: z.string().min(1).optional(),
  })
  .refine((env) => (env.SERVICE_B_API_KEY_FILE ?? env.SERVICE_B_API_KEY) !== undefined, {
    path: ['SERVICE_B_API_KEY'],
    error: 'set this or SERVICE_B_API_KEY_FILE',
  })
  .superRefine(checkTokenEnv)
  .transform((env) => ({ ...env, TOKEN_ISSUER: env.TOKEN_ISSUER ?? env.LOGIN_URL }));
export type ServiceBConfig = z.infer<typeof serviceBEnv>;
