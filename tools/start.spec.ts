import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const start = fileURLToPath(new URL('../../tools/start.mjs', import.meta.url));
const run = (...words: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [start, ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
};

it.each([['--foo'], ['nothing-like-it'], ['quickstart', '--foo'], ['login', 'x'], ['../start']])(
  'starting %s ends with 2 and one line that says what can be started',
  (...words) => {
    const { status, stdout, stderr } = run(...words);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: npm start, or npm run start:\S+, .*\n$/);
  },
);
