import type { Introspection, Verdict, VerifyBatchAnswer, VerifyBody } from '#contracts';
import type { Cluster } from './cluster.js';
import { call, type Answer } from './http.js';
import type { Stores } from './stores.js';

/** The ways in which a service may ask about a key. */
export const DOORS = ['verify', 'verify-batch', 'lease', 'introspect'] as const;
export type Door = (typeof DOORS)[number];

/** What is asked besides the key's text. */
export type More = Partial<VerifyBody>;

/** Asks a replica through a door. */
export type AskThrough = (
  door: Door,
  replica: number,
  text: string,
  more?: More,
) => Promise<Answer<Verdict>>;

/** What introspection says of every key that may not be used, whatever the reason. */
export const INACTIVE = 'INACTIVE';

/** The doors of a cluster; whatever comes through one of them is told as a verdict. */
export function doorsOf(cluster: Cluster<Stores>): AskThrough {
  const verify = (replica: number, body: VerifyBody) =>
    cluster.ask<Verdict>(replica, 'POST /v1/keys/verify', body);
  const ask: Record<Door, (replica: number, body: VerifyBody) => Promise<Answer<Verdict>>> = {
    verify,
    lease: (replica, body) => verify(replica, { ...body, lease: { permits: 0 } }),
    'verify-batch': async (replica, body) => {
      const requests = [{ key: 'junk' }, body];
      const order = 'POST /v1/keys/verify-batch';
      const answer = await cluster.ask<VerifyBatchAnswer>(replica, order, { requests });
      return told(answer, ({ results }) => results[1]!);
    },
    introspect: async (replica, { key, scopes }) => {
      const answer = await call<Introspection>({
        method: 'POST',
        url: `${cluster.replicas[replica]!.url}/v1/introspect`,
        token: await cluster.serviceToken(),
        form: { token: key },
      });
      return told(answer, (found) => verdictBy(found, (scopes ?? []) as string[]));
    },
  };
  return (door, replica, key, more = {}) => ask[door](replica, { key, ...more });
}

/** Where it is no answer to the question it stays as it is. */
function told<T>(answer: Answer<T>, verdictIn: (body: T) => Verdict): Answer<Verdict> {
  const { status, body } = answer;
  return { ...answer, body: status === 200 ? verdictIn(body) : (body as Verdict) };
}

function verdictBy(found: Introspection, scopes: readonly string[]): Verdict {
  const held = found.active ? found.scope.split(' ') : [];
  const valid = found.active && scopes.every((scope) => held.includes(scope));
  return { valid, code: valid ? 'VALID' : INACTIVE } as Verdict;
}
