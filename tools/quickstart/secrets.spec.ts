import { readConfig } from './config.js';
import { passwordsOf, secretsOf } from './secrets.js';

const config = readConfig({});
const NO_STATE = { provisioned: null, passwords: {} };

describe('secrets', () => {
  it('are made anew for every new platform, at least 32 random bytes each', () => {
    const [one, other] = [secretsOf(config, {}, false), secretsOf(config, {}, false)];
    for (const name of ['LOGIN_SECRET', 'KEY_SERVICE_SECRET'] as const) {
      expect(Buffer.from(one[name], 'base64')).toHaveLength(32);
      expect(one[name]).not.toBe(other[name]);
    }
    expect(one.KEY_PEPPERS).toMatch(/^1:[A-Za-z0-9+/]{43}=$/);
    expect(one.SERVICE_A_CLIENT_SECRET).toMatch(/^kws_[A-Za-z0-9_-]{43}$/);
  });

  it('stay the same at the next start', () => {
    const secrets = secretsOf(config, {}, false);
    expect(secretsOf(config, { ...secrets }, true)).toEqual(secrets);
    const passwords = passwordsOf(config, NO_STATE);
    expect(passwordsOf(config, { ...NO_STATE, passwords })).toEqual(passwords);
  });

  it('of the environment win', () => {
    const stored = { ...secretsOf(config, {}, false) };
    const given = readConfig({ KEY_PEPPERS: '7:given' });
    expect(secretsOf(given, stored, true)).toEqual({ ...stored, KEY_PEPPERS: '7:given' });
  });

  it('that are lost are not replaced by others, which would not open the data', () => {
    const { LOGIN_SECRET: _, ...rest } = secretsOf(config, {}, false);
    expect(() => secretsOf(config, rest, true)).toThrow(/^LOGIN_SECRET is missing/);
  });

  it('ADMIN_PASSWORD sets the first password and changes none that is there', () => {
    const given = readConfig({ ADMIN_PASSWORD: 'correct horse battery' });
    const passwords = passwordsOf(given, NO_STATE);
    expect(passwords.admin).toBe('correct horse battery');
    const later = readConfig({ ADMIN_PASSWORD: 'another one, long enough' });
    expect(passwordsOf(later, { ...NO_STATE, passwords }).admin).toBe('correct horse battery');
  });
});

describe('settings of npm start', () => {
  it('a short ADMIN_PASSWORD is refused by name and not repeated', () => {
    const read = () => readConfig({ ADMIN_PASSWORD: 'too short' });
    expect(read).toThrow(/ADMIN_PASSWORD: Use at least 15 characters/);
    expect(read).not.toThrow(/too short/);
  });

  it('production gets no embedded servers', () => {
    const owner = 'postgresql://owner:pw@db/keyward';
    const production = { NODE_ENV: 'production', DATABASE_URL: owner };
    expect(() => readConfig(production)).toThrow(/set DATABASE_URL and REDIS_URL/);
    expect(() => readConfig({ ...production, REDIS_URL: 'redis://redis' })).not.toThrow();
  });
});
