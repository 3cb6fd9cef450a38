import { startCommand } from './support/command.js';
import { START } from './support/platform.js';

/** What opens something: API keys, access tokens, client secrets, refresh tokens, and the password in a body. */
const CREDENTIALS = [
  /\bkw_(?:live|test)_[0-9A-Za-z]{16}_/,
  /\beyJ[\w-]+\.[\w-]+\.[\w-]+/,
  /\bkw[sr]_[\w-]{20,}/,
  /"password":"(?!\[masked\])/,
];

it('the demo walks all flows to their ends, and shows no key, token or password', async () => {
  const command = [process.execPath, START, 'demo'] as [string, ...string[]];
  const { code, output } = await startCommand(command, {}).ended;
  expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
  expect(output).toContain('All answers were as expected.');
  expect(output).toContain('x-api-key: [masked]');
  expect(output).toContain('API_KEY_REVOKED');
  expect(CREDENTIALS.filter((one) => one.test(output))).toEqual([]);
});
