import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { PATIENCE_MS } from './support/patience.js';
import { sceneOf, type Scene } from './support/scene.js';
import { freePorts, startPlatform, type TestPlatform } from './support/platform.js';
import { tempDir } from './support/temp-dir.js';

const FAMILIES = ['RS256', 'EdDSA', 'HS256'] as const;
const PLACES = [
  ['login', '/v1/me'],
  ['keyService', '/v1/services'],
  ['serviceA', '/v1/api-keys'],
  ['serviceB', '/v1/summary'],
] as const;

/** One platform with one issuer, started anew in each family. */
const folder = tempDir();
let ports: Record<string, string>;
let platform: TestPlatform | undefined;
/** Tokens of the families before. */
const earlier: string[] = [];

beforeAll(async () => {
  ports = await freePorts();
});
afterEach(() => platform?.stop());
afterAll(folder.remove);

/** Status of a call to each service with a token; asked again where one has just started and is too busy to decide in time. */
function statusesWith(scene: Scene, token: string): Promise<number[]> {
  const statusAt = async ([service, path]: (typeof PLACES)[number]): Promise<number> => {
    for (const endMs = performance.now() + PATIENCE_MS; ;) {
      const { status } = await scene.tell(service, path, { token });
      if (status !== 503 || performance.now() > endMs) return status;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  return Promise.all(PLACES.map(statusAt));
}

describe.each(FAMILIES)('a platform whose tokens are %s', (algorithm) => {
  let scene: Scene;
  beforeEach(async () => {
    const home = `${folder.path}/home`;
    platform = await startPlatform({ home, env: { ...ports, JWT_ALGORITHM: algorithm } });
    scene = sceneOf(platform);
  });

  it('walks the three flows, and takes no token of another family', async () => {
    const body = scene.platform.quickstart.admin;
    const { status, body: pair } = await scene.tell('serviceA', '/v1/login', { body });
    expect(status).toBe(200);
    const token = (pair as { accessToken: string }).accessToken;
    expect(decodeProtectedHeader(token)).toMatchObject({ typ: 'at+jwt', alg: algorithm });
    expect(await statusesWith(scene, token)).toEqual([200, 200, 200, 200]);

    const order = { name: algorithm, consumer: 'service-b', scopes: ['reports:read'] };
    const issued = await scene.tell('serviceA', '/v1/api-keys', { token, body: order });
    expect(issued).toMatchObject({ status: 201, body: { key: { status: 'active' } } });

    const { body: jwks } = await scene.tell('login', '/.well-known/jwks.json');
    const { keys } = jwks as { keys: { alg: string; kid: string }[] };
    expect(keys.map((key) => key.alg)).toEqual(algorithm === 'HS256' ? [] : [algorithm, algorithm]);

    for (const other of earlier)
      expect(await statusesWith(scene, other)).toEqual([401, 401, 401, 401]);
    const confused = await new SignJWT(decodeJwt(token))
      .setProtectedHeader({ alg: 'HS384', typ: 'at+jwt', kid: keys[0]?.kid ?? 'k' })
      .sign(Buffer.from(JSON.stringify(keys[0] ?? scene.variables['JWT_SECRET'])));
    expect(await statusesWith(scene, confused)).toEqual([401, 401, 401, 401]);
    earlier.push(token);
  });
});
