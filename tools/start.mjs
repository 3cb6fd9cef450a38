// `npm start` runs the whole platform, `npm run start:<app>` one app from its environment; the demo and the OpenAPI files
// come this way too. First what is missing is installed and built.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureReady, ROOT } from './setup.mjs';

checkNode();
process.chdir(ROOT);
const what = process.argv[2] ?? 'quickstart';
const words = process.argv.slice(3);
checkWords();
try {
  await ensureReady();
} catch (error) {
  console.error(error.message);
  process.exit(error.exitCode ?? 1);
}
const app = join(ROOT, 'dist', 'apps', what, 'src', 'main.js');
await import(pathToFileURL(existsSync(app) ? app : join(ROOT, 'dist', 'tools', `${what}.js`)).href);

/** Before anything is installed or built: only some tools take words of their own. */
function checkWords() {
  const isApp =
    /^[a-z][a-z-]*$/.test(what) && existsSync(join(ROOT, 'apps', what, 'src', 'main.ts'));
  const isTool = /^[a-z][a-z-]*$/.test(what) && existsSync(join(ROOT, 'tools', `${what}.ts`));
  const takesWords = isTool && !['quickstart', 'openapi'].includes(what);
  if ((isApp || isTool) && (words.length === 0 || takesWords)) return;
  console.error(
    'Usage: npm start, or npm run start:<login|key-service|service-a|service-b>, without options; settings are in .env.example',
  );
  process.exit(2);
}
