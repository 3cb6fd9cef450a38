import type { TakenOverFrom } from './moves.js';

/**
 * What `npm run local-keys -- take-over` prints: what was taken over as JSON, and in the last line the setting by which a service-a in
 * mode `local` goes on by the policy that the keys had, as a shell reads it.
 */
export function takenOverText({ policy, ...taken }: TakenOverFrom): string {
  const value = JSON.stringify(policy).replaceAll("'", String.raw`\u0027`);
  return `${JSON.stringify(taken, null, 2)}\nSERVICE_A_KEY_POLICY='${value}'`;
}
