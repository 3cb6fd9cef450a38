import { z } from 'zod';
import { keyId } from './keys.js';
import { slug } from './primitives.js';
import { verdictCode, verifyBody } from './verdict.js';

const { scopes, environment, clientIp, cost } = verifyBody.shape;

/** `POST /v1/keys/{id}/explain`: a question about the key's current secret, as `service` would ask it. */
export const explainBody = z
  .strictObject({ service: slug, scopes, environment, clientIp, cost })
  .meta({ id: 'ExplainBody' });
export type ExplainBody = z.infer<typeof explainBody>;

/** Names of the checks, in the order in which they are applied. */
export const checkName = z
  .enum([
    'secret',
    'service',
    'revocation',
    'state',
    'consumer',
    'overlap',
    'notBefore',
    'expiry',
    'environment',
    'address',
    'scopes',
    'rateLimits',
    'quota',
  ])
  .meta({ id: 'CheckName' });
export type CheckName = z.infer<typeof checkName>;

/** One check; `code` is the verdict where it is the first that fails. */
export const explainedCheck = z.object({
  name: checkName,
  passed: z.boolean(),
  code: verdictCode,
  detail: z.string(),
});
export type ExplainedCheck = z.infer<typeof explainedCheck>;

/** Every check, those after a failure too. `failed` names the first that fails, null where the verdict is `VALID`. */
export const explanation = z
  .object({
    keyId,
    version: z.int(),
    code: verdictCode,
    failed: checkName.nullable(),
    checks: z.array(explainedCheck),
  })
  .meta({ id: 'Explanation' });
export type Explanation = z.infer<typeof explanation>;
