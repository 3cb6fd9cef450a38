import { z } from 'zod';
import { checkTokenEnv, port, serverEnv, tokenEnv } from '#server';
import { keyProviderShape, missingFor } from './key-provider.js';

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
    ...keyProviderShape,
  })
  .check(({ value, issues }) => {
    for (const { path, error } of missingFor(value))
      issues.push({ code: 'custom', input: undefined, path: [path], message: error });
  })
  .superRefine(checkTokenEnv)
  .transform((env) => ({ ...env, TOKEN_ISSUER: env.TOKEN_ISSUER ?? env.LOGIN_URL }));
export type ServiceBConfig = z.infer<typeof serviceBEnv>;
