// `npm start` runs the whole platform, `npm run start:<app>` one app from its environment; the demo and the OpenAPI files
// come this way too. First what is missing is installed and built.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureReady, ROOT } from './setup.mjs';

checkNode();
process.chdir(ROOT);
try {
  await ensureReady();
} catch (error) {
  console.error(error.message);
  process.exit(error.exitCode ?? 1);
}
const what = process.argv[2] ?? 'quickstart';
const app = join(ROOT, 'dist', 'apps', what, 'src', 'main.js');
await import(pathToFileURL(existsSync(app) ? app : join(ROOT, 'dist', 'tools', `${what}.js`)).href);
