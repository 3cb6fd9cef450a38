import type { Bed } from './bed.js';
import { requestOf } from './load.js';
import type { Server } from './servers.js';
import type { Target } from './slices.js';

const GOOD = '"valid":true';
/** What an answer holds that let a key pass by what was cached, and by what the store had. */
export const HIT = [GOOD, '"source":"cache"'];
export const MISS = [GOOD, '"source":"store"'];

/** Which of the ways to an answer is measured. */
export type Way = 'cache' | 'store';

const TOKEN_SECONDS = 6 * 3_600;

/** Claims of a token that lasts longer than any run. */
export function lasting(): { exp: number } {
  return { exp: Math.floor(Date.now() / 1_000) + TOKEN_SECONDS };
}

/** The token of the service whose keys are verified. */
export function askingToken(bed: Bed): Promise<string> {
  return bed.issuer.service('service-a', 'keys:verify', lasting().exp);
}

/** Verifications by a key service, of some keys in turn, each of which must come this way. */
export async function verifications(
  bed: Bed,
  { server, texts, way = 'cache' }: { server: Server; texts: readonly string[]; way?: Way },
): Promise<Target> {
  const token = await askingToken(bed);
  const headers = way === 'store' ? { 'cache-control': 'no-cache' } : {};
  return {
    name: `verify by the ${way}`,
    port: server.port,
    pids: [server.pid],
    expected: way === 'cache' ? HIT : MISS,
    requests: texts.map((key) =>
      requestOf('/v1/keys/verify', { token, headers, body: { key, scopes: ['reports:read'] } }),
    ),
  };
}

/** A good answer whose record was cached; the bare servers give it too. */
export async function answerFromCache(
  service: Server,
  request: { token: string; body: unknown },
): Promise<string> {
  for (let tries = 0; ; tries += 1) {
    const { text } = await ask(service, '/v1/keys/verify', request);
    if (HIT.every((part) => text.includes(part))) return text;
    if (tries === 10) throw new Error(`Not an answer from the cache: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** One answer of a server. */
export async function ask(
  { port }: Server,
  path: string,
  { token, body }: { token: string; body?: unknown },
): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, text: await answer.text() };
}
