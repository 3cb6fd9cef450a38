import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLogger, createOpenApi, parseConfig, type AppOptions } from '#server';
import { appOptions as keyService } from '../apps/key-service/src/app-options.js';
import { keyServiceEnv } from '../apps/key-service/src/config.js';
import { appOptions as login } from '../apps/login/src/app-options.js';
import { loginEnv } from '../apps/login/src/config.js';
import { appOptions as serviceA } from '../apps/service-a/src/app-options.js';
import { serviceAEnv } from '../apps/service-a/src/config.js';
import { appOptions as serviceB } from '../apps/service-b/src/app-options.js';
import { serviceBEnv } from '../apps/service-b/src/config.js';

/** Where the services look for them; another folder may be named. */
const FOLDER = fileURLToPath(new URL('../../docs/api/', import.meta.url));

/** Settings with which the documents are made; of none of them anything shows, and nothing is there that they name. */
const NOWHERE = 'http://127.0.0.1:1';
const DATABASE = 'postgres://127.0.0.1:1/none';
const SECRET = randomBytes(32).toString('base64');
const SETTINGS = {
  DATABASE_URL: DATABASE,
  KEY_PEPPERS: `1:${SECRET}`,
  KEY_SERVICE_SECRET: SECRET,
  KEY_SERVICE_URL: NOWHERE,
  LOGIN_SECRET: SECRET,
  LOGIN_URL: NOWHERE,
  SERVICE_A_CLIENT_ID: 'service-a',
  SERVICE_A_CLIENT_SECRET: 'none',
  SERVICE_A_DATABASE_URL: DATABASE,
  SERVICE_A_KEY_SECRET: SECRET,
  SERVICE_A_URL: NOWHERE,
  SERVICE_B_API_KEY: 'none',
};

/** The OpenAPI document of every app, as text, by its name; service-a has one for each of its modes. Nothing is started for them. */
async function makeDocuments(): Promise<Map<string, string>> {
  const log = createLogger('openapi', 'silent');
  const a = (mode: string): AppOptions =>
    serviceA(parseConfig(serviceAEnv, { ...SETTINGS, SERVICE_A_KEYS: mode }), log);
  const apps = [
    login(parseConfig(loginEnv, SETTINGS), log),
    keyService(parseConfig(keyServiceEnv, SETTINGS), log),
    ...['central', 'local', 'dual'].map(a),
    serviceB(parseConfig(serviceBEnv, SETTINGS), log),
  ];
  const documents = new Map<string, string>();
  for (const { module, openApi } of apps) {
    const document = await createOpenApi(module, openApi);
    documents.set(openApi.name, `${JSON.stringify(document, null, 2)}\n`);
  }
  return documents;
}

// after the word by which `npm run openapi` names this tool
const folder = process.argv[3] ?? FOLDER;
mkdirSync(folder, { recursive: true });
for (const [name, document] of await makeDocuments()) {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, document);
  console.log(path);
}
process.exit(0);
