import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './support/platform.js';
import { tempDir } from './support/temp-dir.js';

const COMPOSE = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8');
const dir = tempDir();
afterAll(() => dir.remove());

test('what keeps a place in PostgreSQL is stopped before PostgreSQL is, so that it can take leave', () => {
  const services = COMPOSE.split(/^ {2}(?=[a-z-]+:\n)/m).filter((text) =>
    /: \*(?:login|keys)-db$/m.test(text),
  );
  expect(services.map((text) => /^[a-z-]+/.exec(text)![0])).toEqual(['login', 'key-service']);
  const hasty = services.filter((text) => !/depends_on:\n(?: {6}.*\n)*? {6}postgres: /.test(text));
  expect(hasty).toEqual([]);
});

test('the secrets for Docker are there, for their owner alone, and in no commit', () => {
  const file = join(dir.path, '.env');
  const made = spawnSync('sh', ['-c', 'umask 022; deploy/compose-env > "$1"', 'sh', file], {
    cwd: ROOT,
  });
  expect(made.status).toBe(0);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const wanted = new Set(Array.from(COMPOSE.matchAll(/\$\{(\w+):\?/g), ([, name]) => name!));
  const given = new Set(
    Array.from(readFileSync(file, 'utf8').matchAll(/^(\w+)=\S+$/gm), ([, name]) => name!),
  );
  expect([...given].toSorted()).toEqual([...wanted].toSorted());
  expect(readFileSync(join(ROOT, '.gitignore'), 'utf8').split('\n')).toContain('.env');
});
