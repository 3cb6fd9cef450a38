import { migrate } from '../../migrations/migrate.js';
import { readEnvFile } from '../../libs/server/src/load-config.js';
import { startAppProcess, type AppProcess } from './app-process.js';
import {
  APP_NAMES,
  appEnvOf,
  entryOf,
  platformEnvOf,
  urlsOf,
  type PlatformEnv,
  type Urls,
} from './apps.js';

import type { QuickstartConfig } from './config.js';
import { deliveryTargetsText } from './delivery-targets.js';
import { readState, writePrivate, writeState, type Home } from './home.js';
import { BOOTSTRAP_ENTRY, bootstrapEnv, quickstartText } from './login-bootstrap.js';
import type { Parts } from './part.js';
import { provision, type Admin } from './provision.js';
import { passwordsOf, secretsOf } from './secrets.js';
import { fingerprint, openStores } from './stores.js';

/** What a platform is started from. */
export interface PlatformOptions {
  config: QuickstartConfig;
  home: Home;
  /** Gets every process that is started. */
  parts: Parts;
  say: (line: string) => void;
}

/** A platform that serves. */
export interface Platform {
  urls: Urls;
  admin: Admin;
  /** Whether it was provisioned just now. */
  isNew: boolean;
}

const READY_TIMEOUT_MS = 60_000;

/**
 * Starts a platform in its folder: stores, schema, apps; at the first start of a database also the admin, the service
 * accounts, service-a, service-b and a key for it. What a start that was broken off has left is completed.
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const { config, home, say } = options;
  const state = readState(home);
  const secrets = secretsOf(config, readEnvFile(home.at('env')), state.provisioned !== null);
  const passwords = passwordsOf(config, state);
  state.passwords = passwords;
  writeState(home, state);

  const stores = await openStores({ ...options, state, passwords });
  const env = platformEnvOf(config, home, stores, secrets);
  const urls = urlsOf(config);
  const admin = { username: config.ADMIN_USERNAME, password: passwords.admin };
  const clientSecrets = {
    'service-a': secrets.SERVICE_A_CLIENT_SECRET,
    'service-b': passwords.serviceBClient,
  };
  writeEnvFile(home, env);
  writePrivate(home.at('quickstart.json'), quickstartText(urls, admin, clientSecrets));
  writePrivate(home.at('delivery-targets.json'), deliveryTargetsText(home));
  const migrations = await migrate(stores);
  if (migrations.length > 0) say(`Migrations: ${migrations.join(', ')}`);

  const database = await fingerprint(stores.ownerUrl);
  const isNew = database === null || state.provisioned !== database;
  if (isNew) await bootstrapLogin(options, env, bootstrapEnv(admin, clientSecrets));
  await startApps(options, env);
  if (isNew) {
    await provision(urls, admin, home.at('service-b.key'));
    state.provisioned = database;
    writeState(home, state);
  }
  return { urls, admin, isNew };
}

/** Variables for apps that are started alone. Those that somebody has added to the file stay. */
function writeEnvFile(home: Home, env: PlatformEnv): void {
  const { KEYWARD_HOME: _, ...variables } = { ...readEnvFile(home.at('env')), ...env };
  if (env['REDIS_URL'] === undefined) delete variables['REDIS_URL'];
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  const head = '# Written by `npm start`; read by `npm run start:<app>`. Keep it secret.\n';
  writePrivate(home.at('env'), head + lines.join(''));
}

async function bootstrapLogin(
  { home, parts, say }: PlatformOptions,
  env: PlatformEnv,
  variables: Record<string, string>,
): Promise<void> {
  const bootstrap = startAppProcess({
    name: "login's bootstrap",
    entry: BOOTSTRAP_ENTRY,
    env: { ...appEnvOf('login', env, process.env), ...variables },
    logFile: home.at('logs', 'bootstrap.log'),
    say,
  });
  const how = await parts.waitFor(bootstrap);
  if (how === 'exit code 0') return;
  throw new Error([`login's bootstrap failed (${how}):`, ...bootstrap.lastLines()].join('\n  '));
}

async function startApps(
  { home, parts, say }: PlatformOptions,
  env: PlatformEnv,
): Promise<AppProcess[]> {
  const apps = APP_NAMES.map((name) =>
    startAppProcess({
      name,
      entry: entryOf(name),
      env: appEnvOf(name, env, process.env),
      logFile: home.at('logs', `${name}.log`),
      say,
    }),
  );
  parts.add(...apps);
  for (const app of apps) await within(app.ready, READY_TIMEOUT_MS, `${app.name} to start`);
  return apps;
}

async function within<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Waited ${limitMs / 1000} s for ${what} in vain`)),
      limitMs,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
