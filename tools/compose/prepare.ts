import { spawn } from 'node:child_process';
import { migrate } from '../../migrations/migrate.js';
import { BOOTSTRAP_ENTRY, bootstrapEnv } from '../quickstart/login-bootstrap.js';
import { readPrepareConfig } from './config.js';

/** The step before the apps: schema, runtime roles, first admin, service accounts. Safe to be repeated. */
async function main(): Promise<void> {
  const config = readPrepareConfig();
  const done = await migrate({
    ownerUrl: config.MIGRATION_DATABASE_URL,
    loginUrl: config.LOGIN_DATABASE_URL,
    keyServiceUrl: config.KEY_SERVICE_DATABASE_URL,
  });
  console.log(done.length > 0 ? `Migrated: ${done.join(', ')}` : 'The database is up to date');
  await bootstrapLogin(config);
}

async function bootstrapLogin(config: ReturnType<typeof readPrepareConfig>): Promise<void> {
  const admin = { username: config.ADMIN_USERNAME, password: config.ADMIN_PASSWORD };
  const secrets = {
    'service-a': config.SERVICE_A_CLIENT_SECRET,
    'service-b': config.SERVICE_B_CLIENT_SECRET,
  };
  const { LOGIN_DATABASE_URL, LOGIN_SECRET } = config;
  const child = spawn(process.execPath, [BOOTSTRAP_ENTRY], {
    env: { ...process.env, LOGIN_DATABASE_URL, LOGIN_SECRET, ...bootstrapEnv(admin, secrets) },
    stdio: 'inherit',
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('exit', resolve);
  });
  if (code !== 0) throw new Error(`login's bootstrap ended with code ${code}`);
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
