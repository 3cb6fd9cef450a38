import { inspect } from 'node:util';
import { fromEnv } from './from-env.js';

describe('fromEnv', () => {
  it('gives the variable without the white space around it', async () => {
    const provider = fromEnv('KEY', { KEY: ' s3cret\n' });
    expect(provider.refreshedAt()).toBeNull();
    await expect(provider.read()).resolves.toBe('s3cret');
    expect([provider.source, provider.refreshedAt()]).toEqual(['env', expect.any(Date)]);
    expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain('s3cret');
  });

  it('gives null where the variable is missing or empty', async () => {
    await expect(fromEnv('KEY', {}).read()).resolves.toBeNull();
    await expect(fromEnv('KEY', { KEY: ' ' }).read()).resolves.toBeNull();
  });

  it('says which variable is missing or empty', () => {
    const [none, empty] = [fromEnv('KEY', {}), fromEnv('KEY', { KEY: ' ' })];
    expect([none.place, none.lack?.()]).toEqual(['the environment variable KEY', 'is not set']);
    expect(empty.lack?.()).toBe('is empty');
  });

  it('looks into the environment of the process where nothing else is given', async () => {
    process.env['KEYWARD_TEST_KEY'] = 'from the process';
    await expect(fromEnv('KEYWARD_TEST_KEY').read()).resolves.toBe('from the process');
    delete process.env['KEYWARD_TEST_KEY'];
  });
});
