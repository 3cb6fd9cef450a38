import { inspect } from 'node:util';
import { connectVault, type VaultOptions } from './connect-vault.js';
import { fromVault, type FromVaultOptions } from './from-vault.js';
import { createVaultServer, type VaultServer } from './testing/vault-server.js';

const path = 'consumers/service-b';

describe('fromVault', () => {
  let vault: VaultServer;
  const role = () => ({ roleId: vault.role.role_id, secretId: vault.role.secret_id });
  const provider = (over: Partial<FromVaultOptions> = {}) =>
    fromVault({ address: vault.url, auth: role(), path, ...over });
  const seen = (part: string) => vault.seen.filter((one) => one.includes(part)).length;
  const until = async (isSo: () => boolean | Promise<boolean>) => {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  beforeEach(async () => {
    vault = await createVaultServer();
  });
  afterEach(() => vault.close());

  it('logs in as its AppRole once and reads the newest version of the field', async () => {
    vault.put(path, { key: 'old' });
    vault.put(path, { key: ' new\n', note: 'x', token: 'other' });
    const one = provider();
    expect(one.refreshedAt()).toBeNull();
    await expect(Promise.all([one.read(), one.read()])).resolves.toEqual(['new', 'new']);
    await expect(one.read({ fresh: true })).resolves.toBe('new');
    await expect(provider({ field: 'token' }).read()).resolves.toBe('other');
    expect(vault.seen).toEqual([
      'POST auth/approle/login',
      `GET secret/data/${path}`,
      `GET secret/data/${path}`,
      'POST auth/approle/login',
      `GET secret/data/${path}`,
    ]);
    expect([one.source, one.refreshedAt()]).toEqual(['vault', expect.any(Date)]);
    expect(one.place).toBe(`field key of secret/${path} in Vault`);
  });

  it('takes a token, given or read from where an agent puts it', async () => {
    vault.put(path, { key: 'good' });
    await expect(provider({ auth: { token: 'hvs.root' } }).read()).resolves.toBe('good');
    let written = 'hvs.root\n';
    const one = provider({ auth: { token: () => written } });
    await expect(one.read()).resolves.toBe('good');
    vault.tokens = new Set(['hvs.next']);
    written = 'hvs.next\n';
    vault.put(path, { key: 'better' });
    await expect(one.read({ fresh: true })).resolves.toBe('better');
  });

  it('names its namespace in every request', async () => {
    vault.namespace = 'team-a';
    vault.put(path, { key: 'good' });
    await expect(provider({ namespace: 'team-a' }).read()).resolves.toBe('good');
    await expect(provider().read()).rejects.toMatchObject({ isRefusal: true });
  });

  it('logs in again when its token is refused, once, and shares the login', async () => {
    vault.put(path, { key: 'good' });
    const connection = connectVault({ address: vault.url, auth: role() });
    const two = [fromVault({ connection, path }), fromVault({ connection, path, field: 'key' })];
    await Promise.all(two.map((one) => one.read()));
    vault.tokens.clear();
    await Promise.all(two.map((one) => one.read({ fresh: true })));
    expect(seen('login')).toBe(2);
    vault.tokens.clear();
    vault.role.secret_id = 'another';
    const heard: unknown[] = [];
    const three = fromVault({ connection, path, onError: (error) => heard.push(error) });
    await expect(three.read()).rejects.toMatchObject({ isRefusal: true });
    expect(heard).toEqual([]);
  });

  it('renews its token before the lease is over', async () => {
    Object.assign(vault.role, { lease_duration: 1, renewable: true });
    vault.put(path, { key: 'good' });
    await provider().read();
    await until(() => seen('renew-self') >= 2);
    expect(seen('login')).toBe(1);
    const given = provider({ auth: { token: 'hvs.root' } });
    await given.read();
    await until(() => seen('renew-self') >= 4);
    expect(seen('lookup-self')).toBe(1);
  });

  it.each<[string, () => VaultOptions['auth']]>([
    ['a given token', () => ({ token: 'hvs.root' })],
    ['the token of an AppRole', role],
  ])('renews %s on after Vault could not answer for a while', async (_what, auth) => {
    Object.assign(vault.role, { lease_duration: 4, renewable: true });
    vault.put(path, { key: 'good' });
    const isRenewedOn = async (): Promise<boolean> => {
      vault.seen.length = 0;
      await provider({ auth: auth() }).read();
      await until(() => seen('renew-self') === 1);
      vault.outage = 503;
      const endMs = performance.now() + 15_000;
      await until(() => seen('renew-self') >= 3 || performance.now() > endMs);
      vault.outage = null;
      await until(() => seen('renew-self') >= 5 || performance.now() > endMs);
      return seen('renew-self') >= 5 && seen('login') === ('roleId' in auth() ? 1 : 0);
    };
    // a lease is over where the machine keeps everybody waiting for the second that is left of it
    let isSo = await isRenewedOn();
    for (let n = 1; !isSo && n < 4; n += 1) isSo = await isRenewedOn();
    expect(isSo).toBe(true);
  });

  it('learns how long a given token goes also where Vault could not answer at first', async () => {
    Object.assign(vault.role, { lease_duration: 1, renewable: true });
    vault.put(path, { key: 'good' });
    const one = provider({ auth: { token: 'hvs.root' } });
    vault.outage = 503;
    await expect(one.read()).rejects.toMatchObject({ isRefusal: false });
    vault.outage = null;
    await expect(one.read()).resolves.toBe('good');
    await until(() => seen('renew-self') >= 2);
  });

  it('does not try to renew a token beyond its lease, and logs in then', async () => {
    Object.assign(vault.role, { lease_duration: 1, renewable: true });
    vault.put(path, { key: 'good' });
    const triesIn = async (): Promise<number> => {
      vault.outage = null;
      vault.seen.length = 0;
      const one = provider();
      await one.read();
      vault.outage = 503;
      await until(async () => (await one.read({ fresh: true })) === 'good' && seen('login') >= 2);
      return seen('renew-self');
    };
    let tried = await triesIn();
    // there is a third of a second to try again in: none where the machine keeps everybody waiting for as long
    for (let n = 1; tried === 1 && n < 10; n += 1) tried = await triesIn();
    expect(tried).toBeGreaterThan(1);
    expect(tried).toBeLessThan(10);
  });

  it('logs in anew when a lease ends that cannot be renewed', async () => {
    Object.assign(vault.role, { lease_duration: 1, renewable: false });
    vault.put(path, { key: 'good' });
    const one = provider();
    await one.read();
    await until(async () => (await one.read({ fresh: true })) === 'good' && seen('login') === 2);
    expect(seen('renew-self')).toBe(0);
  });

  it('finds nothing where there is no secret, no such field, or a deleted version', async () => {
    await expect(provider().read()).resolves.toBeNull();
    vault.put(path, { other: 'x' });
    await expect(provider().read()).resolves.toBeNull();
    vault.put(path, null);
    await expect(provider().read()).resolves.toBeNull();
  });

  it('keeps its key through an outage, and says so', async () => {
    vault.put(path, { key: 'good' });
    const heard: unknown[] = [];
    const one = provider({ onError: (error) => heard.push(error) });
    await one.read();
    vault.outage = 503;
    await expect(one.read({ fresh: true })).resolves.toBe('good');
    expect(heard).toEqual([
      expect.objectContaining({ name: 'SecretStoreError', isRefusal: false }),
    ]);
    await expect(provider().read()).rejects.toMatchObject({ isRefusal: false });
  });

  it('stops waiting for a server that is silent', async () => {
    const silent = provider({ fetch: (_url, init) => hang(init?.signal), timeoutMs: 20 });
    await expect(silent.read()).rejects.toThrow('cannot be reached (TimeoutError)');
    const away = provider();
    await vault.close();
    await expect(away.read()).rejects.toThrow('cannot be reached (ECONNREFUSED)');
  });

  it('writes a version and leaves the other fields as they are', async () => {
    await expect(provider().write('first')).resolves.toEqual({ version: '1' });
    vault.put(path, { key: 'x', note: 'keep' });
    await expect(provider().write('third')).resolves.toEqual({ version: '3' });
    expect(vault.secrets.get(path)?.at(-1)?.data).toEqual({ key: 'third', note: 'keep' });
    vault.put(path, null);
    await expect(provider().write('fifth')).resolves.toEqual({ version: '5' });
    await expect(provider().read()).resolves.toBe('fifth');
  });

  it('loses nothing that somebody else writes at the same time', async () => {
    vault.put(path, { key: 'old' });
    vault.beforeWrite = () => {
      vault.beforeWrite = () => undefined;
      vault.put(path, { key: 'old', note: 'theirs' });
    };
    await provider().write('new');
    expect(vault.secrets.get(path)?.at(-1)?.data).toEqual({ key: 'new', note: 'theirs' });
    vault.beforeWrite = () => vault.put(path, { key: 'old' });
    await expect(provider().write('never')).rejects.toMatchObject({ isRefusal: true });
  });

  it('writes without reading where the policy lets it write only', async () => {
    vault.put(path, { key: 'old' });
    vault.writers.add('hvs.root');
    const written = await provider({ auth: { token: 'hvs.root' } }).write('new');
    expect([written, vault.secrets.get(path)?.at(-1)?.data]).toEqual([
      { version: '2' },
      { key: 'new' },
    ]);
  });

  it.each(['', '/', 'a//b', '../sys/policy', 'a/../b', './a'])('takes no path like %p', (bad) => {
    expect(() => provider({ path: bad })).toThrow(TypeError);
  });

  it('shows neither key nor token to who prints it or its errors', async () => {
    vault.put(path, { key: 's3cret' });
    const one = provider({ auth: { token: 'hvs.root' } });
    await one.read();
    vault.tokens.clear();
    const errors = await Promise.all([
      one.write('s3cret').catch((error: unknown) => error),
      provider({ auth: { token: 'hvs.root' } })
        .read()
        .catch((error: unknown) => error),
      provider({ auth: { roleId: 'role-1', secretId: 'hvs.root' } })
        .read()
        .catch((error: unknown) => error),
    ]);
    for (const shown of [one, connectVault({ address: vault.url, auth: role() }), ...errors]) {
      const texts = [inspect(shown, { depth: 9, showHidden: true }), JSON.stringify(shown)];
      for (const secret of ['s3cret', 'hvs.root', vault.role.secret_id])
        expect(texts.join()).not.toContain(secret);
    }
    expect(errors).toEqual(Array(3).fill(expect.objectContaining({ name: 'SecretStoreError' })));
  });
});

function hang(signal: AbortSignal | null | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
