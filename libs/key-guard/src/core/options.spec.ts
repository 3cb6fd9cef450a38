import { readFileSync } from 'node:fs';
import { readOptions, type KeyGuardOptions } from './options.js';

const README = new URL('../../../../../libs/key-guard/README.md', import.meta.url);
const given: KeyGuardOptions = {
  urls: ['http://127.0.0.1:1'],
  token: () => Promise.resolve('own-token'),
  service: 'reports',
};

/** What the README's table of options says: names, and the default where there is one. */
function documented(): [name: string, value: string | number | undefined][] {
  const text = readFileSync(README, 'utf8');
  const rows = text.matchAll(/^\| `(\w+)` +\| *(\S*) +\| [^|]+\|$/gm);
  return [...rows].map(([, name, value]) => [name!, valueOf(value!)]);
}

function valueOf(text: string): string | number | undefined {
  if (text === '') return undefined;
  return text.startsWith('`') ? text.slice(1, -1) : Number(text.replaceAll(',', ''));
}

describe('the options of a guard', () => {
  it('have the defaults that the README names, each of them', () => {
    const defaults = documented().filter(([, value]) => value !== undefined);
    expect({ ...given, ...Object.fromEntries(defaults) }).toEqual(readOptions(given));
  });

  it('are those of the README, and no others', () => {
    const names = documented().map(([name]) => name);
    const wrong = Object.fromEntries(names.map((name) => [name, Symbol(name)]));
    expect(() => readOptions(wrong as never)).toThrow('Options of the key guard');
    expect(() => readOptions(wrong as never)).not.toThrow('Unrecognized');
    expect(() => readOptions({ ...given, more: 1 } as never)).toThrow('Unrecognized');
    expect(names).toEqual(expect.arrayContaining(Object.keys(readOptions(given))));
  });
});
