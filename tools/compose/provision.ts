import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from '../quickstart/home.js';
import { quickstartText } from '../quickstart/login-bootstrap.js';
import { provision } from '../quickstart/provision.js';
import { readProvisionConfig } from './config.js';

/** The step after login and the key service: service-a, service-b and its first key. Once done it is not done again. */
async function main(): Promise<void> {
  const config = readProvisionConfig();
  const at = (name: string) => join(config.STATE_DIR, name);
  const admin = { username: config.ADMIN_USERNAME, password: config.ADMIN_PASSWORD };
  const urls = {
    login: config.LOGIN_URL,
    keyService: config.KEY_SERVICE_URL,
    serviceA: config.SERVICE_A_URL,
    serviceB: config.SERVICE_B_URL,
  };
  if (existsSync(at('quickstart.json'))) return console.log('Provisioned before');
  await provision(urls, admin, at('service-b.key'));
  const secrets = {
    'service-a': config.SERVICE_A_CLIENT_SECRET,
    'service-b': config.SERVICE_B_CLIENT_SECRET,
  };
  writePrivate(at('quickstart.json'), quickstartText(urls, admin, secrets));
  console.log('service-b has its first key');
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
