import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createApp, createLogger, parseConfig } from '#server';
import { appOptions } from '../apps/service-a/src/app-options.js';
import { serviceAEnv } from '../apps/service-a/src/config.js';
import { startTarget } from './demo/target.js';
import { call } from './quickstart/http.js';

const FOLDER = fileURLToPath(new URL('../../docs/api/', import.meta.url));

/**
 * Writes the OpenAPI document of every app, as the running app serves it, to `docs/api/<app>.json`, and what service-a serves where it
 * manages its own keys to `service-a-local.json`.
 */
async function main(): Promise<void> {
  const target = await startTarget();
  try {
    mkdirSync(FOLDER, { recursive: true });
    const { login, keyService, serviceA, serviceB } = target;
    const apps = { login, 'key-service': keyService, 'service-a': serviceA, 'service-b': serviceB };
    for (const [app, url] of Object.entries(apps)) {
      const { status, body } = await call(`${url}/openapi.json`);
      if (status !== 200) throw new Error(`${app} answered ${status} for its OpenAPI document`);
      write(app, body);
    }
    write('service-a-local', await documentOfLocal(target.login));
  } finally {
    await target.release();
  }
}

function write(name: string, document: unknown): void {
  writeFileSync(join(FOLDER, `${name}.json`), `${JSON.stringify(document, null, 2)}\n`);
  console.log(`docs/api/${name}.json`);
}

/** It serves its document without its store. */
async function documentOfLocal(loginUrl: string): Promise<unknown> {
  const config = parseConfig(serviceAEnv, {
    LOGIN_URL: loginUrl,
    SERVICE_A_KEYS: 'local',
    SERVICE_A_DATABASE_URL: 'postgres://127.0.0.1:1/none',
    SERVICE_A_KEY_SECRET: randomBytes(32).toString('base64'),
  });
  const app = await createApp(appOptions(config, createLogger('service-a', 'silent')));
  try {
    return (await app.inject({ url: '/openapi.json' })).json();
  } finally {
    await app.close();
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
