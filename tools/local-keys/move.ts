import { importList, type ImportMode, type KeyImport } from '#contracts';
import { call } from '../quickstart/http.js';
import { bearer } from '../quickstart/provision.js';
import { handOverTo, importsAt, type Central, type OwnStore } from './moves.js';

/**
 * Moves service-a, all its imports in one call. On the way to the key service it hands over once
 * more first, so that no change that was made at service-a is missing there.
 *
 * @throws Error where something could not be handed over, or there are no imports: then nothing is moved
 */
export async function moveTo(
  central: Central,
  store: OwnStore,
  mode: ImportMode,
): Promise<KeyImport[]> {
  if (mode !== 'shadow') await handOverAll(central, store);
  return moveImports(central, mode);
}

/** The call alone: hands nothing over before. @throws Error where it is refused, or there are no imports */
export async function moveImports(central: Central, mode: ImportMode): Promise<KeyImport[]> {
  if ((await importsAt(central)).length === 0)
    throw new Error(
      'Nothing was moved: service-a has no imports at the key service, so that its own store alone counts. Hand over first',
    );
  const { url, token } = central;
  const request = { ...bearer(token), body: { service: 'service-a', mode } };
  const { status, body } = await call(`${url}/v1/imports/move`, request);
  if (status !== 200) throw new Error(`Moving was answered ${status}`);
  return importList.parse(body).data;
}

async function handOverAll(central: Central, store: OwnStore): Promise<void> {
  const { failed } = await handOverTo(central, store);
  if (failed.length === 0) return;
  const why = failed.map((one) => `${one.keyId}: ${one.why}`).join('\n');
  throw new Error(`Nothing was moved: the key service does not have all keys as they are\n${why}`);
}
