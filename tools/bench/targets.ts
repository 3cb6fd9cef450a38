import type { Bed } from './bed.js';
import { requestOf } from './load.js';
import type { Server } from './servers.js';
import type { Target } from './slices.js';

const GOOD = '"valid":true';

/** Which of the ways to an answer is measured. */
export type Way = 'cache' | 'store';

/** Verifications by a key service, of some keys in turn, each of which must come this way. */
export async function verifications(
  bed: Bed,
  { server, texts, way = 'cache' }: { server: Server; texts: readonly string[]; way?: Way },
): Promise<Target> {
  const token = await bed.issuer.service('service-a', 'keys:verify');
  const headers = way === 'store' ? { 'cache-control': 'no-cache' } : {};
  return {
    name: `verify by the ${way}`,
    port: server.port,
    pids: [server.pid],
    expected: [GOOD, `"source":"${way}"`],
    requests: texts.map((key) =>
      requestOf('/v1/keys/verify', { token, headers, body: { key, scopes: ['reports:read'] } }),
    ),
  };
}
