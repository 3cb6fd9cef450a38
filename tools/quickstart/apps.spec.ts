import { APP_NAMES, appEnvOf, platformEnvOf, urlsOf } from './apps.js';
import { readConfig } from './config.js';
import { secretsOf } from './secrets.js';

const config = readConfig({ LOGIN_PORT: '5001', KEYWARD_HOME: '/home/keyward' });
const home = {
  path: '/home/keyward',
  at: (name: string) => `/home/keyward/${name}`,
  unlock: () => 0,
  abandon: () => 0,
};
const stores = {
  ownerUrl: 'postgresql://owner:pw@db/keyward',
  loginUrl: 'postgresql://login:pw@db/keyward',
  keyServiceUrl: 'postgresql://keys:pw@db/keyward',
  redisUrl: 'redis://redis',
};
const env = platformEnvOf(config, home, stores, secretsOf(config, {}, false));
const given = { PATH: '/bin', DATABASE_URL: stores.ownerUrl, ADMIN_PASSWORD: 'x', LOGIN_URL: 'y' };

describe('environment of the apps', () => {
  it('no app but login and the key service gets a database, and none the owner', () => {
    for (const app of APP_NAMES) {
      const urls = Object.values(appEnvOf(app, env, given)).filter((value) =>
        value?.startsWith('postgresql:'),
      );
      const own = { login: [stores.loginUrl], 'key-service': [stores.keyServiceUrl] };
      expect(urls).toEqual(app in own ? own[app as keyof typeof own] : []);
    }
  });

  it('a secret goes to the app whose it is, and nowhere else', () => {
    const holders = (name: string) => APP_NAMES.filter((app) => name in appEnvOf(app, env, given));
    expect(holders('LOGIN_SECRET')).toEqual(['login']);
    expect(holders('KEY_SERVICE_SECRET')).toEqual(['key-service']);
    expect(holders('KEY_PEPPERS')).toEqual(['key-service']);
    expect(holders('SERVICE_A_CLIENT_SECRET')).toEqual(['service-a']);
    expect(holders('ADMIN_PASSWORD')).toEqual([]);
  });

  it('what the caller has set for other platforms does not leak into this one', () => {
    expect(appEnvOf('service-a', env, given)).toMatchObject({
      PATH: '/bin',
      LOGIN_URL: 'http://127.0.0.1:5001',
    });
  });

  it('apps that listen everywhere are reached on the loopback address', () => {
    expect(urlsOf(readConfig({ HOST: '0.0.0.0' })).serviceB).toBe('http://127.0.0.1:4004');
    expect(urlsOf(readConfig({ HOST: '::1' })).serviceB).toBe('http://[::1]:4004');
  });
});
