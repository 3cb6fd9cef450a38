import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startTarget } from './demo/target.js';
import { call } from './quickstart/http.js';

const FOLDER = fileURLToPath(new URL('../../docs/api/', import.meta.url));

/** Writes the OpenAPI document of every app, as the running app serves it, to `docs/api/<app>.json`. */
async function main(): Promise<void> {
  const target = await startTarget();
  try {
    mkdirSync(FOLDER, { recursive: true });
    const { login, keyService, serviceA, serviceB } = target;
    const apps = { login, 'key-service': keyService, 'service-a': serviceA, 'service-b': serviceB };
    for (const [app, url] of Object.entries(apps)) {
      const { status, body } = await call(`${url}/openapi.json`);
      if (status !== 200) throw new Error(`${app} answered ${status} for its OpenAPI document`);
      writeFileSync(join(FOLDER, `${app}.json`), `${JSON.stringify(body, null, 2)}\n`);
      console.log(`docs/api/${app}.json`);
    }
  } finally {
    await target.release();
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
