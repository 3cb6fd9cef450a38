import { inspect } from 'node:util';
import { fromFunction } from './from-function.js';

describe('fromFunction', () => {
  it('calls the function once for all who need the key at the same time, and not again while it is young', async () => {
    let calls = 0;
    const provider = fromFunction(async () => `key ${(calls += 1)}`, { source: 'keychain' });
    expect(provider.refreshedAt()).toBeNull();
    await expect(Promise.all([provider.read(), provider.read()])).resolves.toEqual([
      'key 1',
      'key 1',
    ]);
    await expect(provider.read()).resolves.toBe('key 1');
    expect([calls, provider.source]).toEqual([1, 'keychain']);
    expect(provider.refreshedAt()).toEqual(expect.any(Date));
  });

  it('asks anew when told to, also where a call is under way that may have looked too early', async () => {
    const answers: ((key: string) => void)[] = [];
    const provider = fromFunction(() => new Promise((resolve) => answers.push(resolve)));
    const early = provider.read();
    const fresh = provider.read({ fresh: true });
    await untilThereAre(answers, 1);
    answers[0]!('old');
    await expect(early).resolves.toBe('old');
    await untilThereAre(answers, 2);
    answers[1]!('new');
    await expect(fresh).resolves.toBe('new');
    await expect(provider.read()).resolves.toBe('new');
  });

  it('gives an aged key at once, and asks for another one behind the scenes', async () => {
    const answers: ((key: string) => void)[] = [];
    const load = () => new Promise<string>((resolve) => answers.push(resolve));
    const provider = fromFunction(load, { maxAgeMs: 0 });
    const first = provider.read();
    await untilThereAre(answers, 1);
    answers[0]!('old');
    await first;
    await expect(provider.read()).resolves.toBe('old');
    await untilThereAre(answers, 2);
    answers[1]!('new');
    while ((await provider.read()) !== 'new');
  });

  it('keeps the key it has when the function fails or finds none, and says so to who wants to hear', async () => {
    const results = [() => 'good', failing, () => null];
    const heard: unknown[] = [];
    const provider = fromFunction(() => results.shift()!(), { onError: (e) => heard.push(e) });
    await expect(provider.read()).resolves.toBe('good');
    await expect(provider.read({ fresh: true })).resolves.toBe('good');
    await expect(provider.read({ fresh: true })).resolves.toBe('good');
    expect(heard).toEqual([new Error('away')]);
  });

  it('fails where it never had a key, and asks again next time', async () => {
    const results = [failing, () => null, () => 'late'];
    const provider = fromFunction(() => results.shift()!());
    await expect(provider.read()).rejects.toMatchObject({
      name: 'SecretStoreError',
      isRefusal: false,
      cause: new Error('away'),
    });
    await expect(provider.read()).resolves.toBeNull();
    await expect(provider.read()).resolves.toBe('late');
  });

  it('shows no key to who prints it', async () => {
    const provider = fromFunction(() => 's3cret');
    await provider.read();
    expect(inspect(provider, { depth: 9, showHidden: true })).not.toContain('s3cret');
    expect(JSON.stringify(provider)).not.toContain('s3cret');
  });
});

function failing(): never {
  throw new Error('away');
}

async function untilThereAre(list: unknown[], count: number): Promise<void> {
  while (list.length < count) await new Promise((resolve) => setImmediate(resolve));
}
