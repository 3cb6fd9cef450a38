import { KEYS_ARE } from './app-options.js';

test('only in central mode the OpenAPI document says that no key is stored', () => {
  const saysSo = Object.entries(KEYS_ARE).filter(([, text]) => text.includes('stores no key'));
  expect(saysSo.map(([mode]) => mode)).toEqual(['central']);
});
