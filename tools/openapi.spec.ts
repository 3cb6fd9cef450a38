import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SERVED = fileURLToPath(new URL('../../docs/api/', import.meta.url));
const TOOL = fileURLToPath(new URL('./openapi.js', import.meta.url));

it('docs/api, which the services serve, is what their controllers and schemas say', () => {
  const made = mkdtempSync(join(tmpdir(), 'keyward-openapi-'));
  try {
    execFileSync(process.execPath, [TOOL, 'openapi', made]);
    // Stale? `npm run openapi` writes it anew.
    expect(textsIn(SERVED)).toEqual(textsIn(made));
  } finally {
    rmSync(made, { recursive: true });
  }
});

function textsIn(folder: string): Record<string, string> {
  const names = readdirSync(folder);
  expect(names).toContain('key-service.json');
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}
