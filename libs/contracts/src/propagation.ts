import { z } from 'zod';

/**
 * How far a change has reached when the call returns. `confirmed`: no verification that starts later, on any replica, uses
 * the old state. Otherwise some replica may for at most `boundSeconds`. `ms` is how long making sure took.
 */
export const propagation = z
  .object({ confirmed: z.boolean(), boundSeconds: z.number(), ms: z.number() })
  .meta({ id: 'Propagation' });
export type Propagation = z.infer<typeof propagation>;
