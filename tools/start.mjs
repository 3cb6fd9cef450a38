// `npm start`: the whole platform. `npm run start:<app>`: one app, from its environment.
import { checkNode, ensureReady, ROOT } from './setup.mjs';

checkNode();
process.chdir(ROOT);
try {
  await ensureReady();
} catch (error) {
  console.error(error.message);
  process.exit(error.exitCode ?? 1);
}
const app = process.argv[2];
await import(app ? `../dist/apps/${app}/src/main.js` : '../dist/tools/quickstart.js');
