import { importList, keyImport, type ImportMode, type KeyImport } from '#contracts';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';
import { handOverTo, type Central, type OwnStore } from './moves.js';

/**
 * Moves every import of service-a. On the way to the key service it hands over once more first, so that no change that was made at
 * service-a is missing there.
 *
 * @throws Error where something could not be handed over: then nothing is moved
 */
export async function moveTo(
  central: Central,
  store: OwnStore,
  mode: ImportMode,
): Promise<KeyImport[]> {
  if (mode !== 'shadow') await handOverAll(central, store);
  const { url, token } = central;
  const list = await call(`${url}/v1/imports?service=service-a`, bearer(token));
  const moved: KeyImport[] = [];
  for (const { id } of importList.parse(list.body).data) {
    const request = { method: 'PATCH', ...bearer(token), body: { mode } };
    const { status, body } = await call(`${url}/v1/imports/${id}`, request);
    if (status !== 200) throw new Error(`Moving ${id} was answered ${status}`);
    moved.push(keyImport.parse(body));
  }
  return moved;
}

async function handOverAll(central: Central, store: OwnStore): Promise<void> {
  const { failed } = await handOverTo(central, store);
  if (failed.length === 0) return;
  const why = failed.map((one) => `${one.keyId}: ${one.why}`).join('\n');
  throw new Error(`Nothing was moved: the key service does not have all keys as they are\n${why}`);
}
