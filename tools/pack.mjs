// `npm run pack [-- <folder>]`: the libraries that other teams install, as tarballs. Each holds its built code and, as copies of
// its own, the parts of contracts and key-core that it uses, so it needs nothing else of this repository.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { builtinModules } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { checkNode, ensureReady, ROOT } from './setup.mjs';

/** Entries are modules of `libs/<name>/src`. `optional`: packages that only some users need. */
const PACKAGES = [
  {
    name: 'key-guard',
    description:
      'Guards routes by API keys that Keyward issues: for NestJS, and without a framework.',
    entries: { '.': 'index', './core': 'core' },
    optional: ['@nestjs/common', '@nestjs/core'],
  },
  {
    name: 'jwt-guard',
    description:
      "Guards NestJS routes by users' and services' access tokens, pinned to one family.",
    entries: { '.': 'index' },
    optional: [],
  },
  {
    name: 'key-client',
    description:
      'A fetch that sends an API key and follows its rotation; keys from files, Vault, AWS.',
    entries: { '.': 'index' },
    optional: ['@aws-sdk/client-secrets-manager'],
  },
];
/** What the app that installs a package has by itself, and must have only once. */
const PEERS = {
  '@nestjs/common': '^11.0.0 || ^12.0.0',
  '@nestjs/core': '^11.0.0 || ^12.0.0',
  '@nestjs/passport': '^11.0.0 || ^12.0.0',
};
const IMPORTED = /(?:\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\n]+)\1/g;
const repository = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

checkNode();
process.chdir(ROOT);
await ensureReady();
const target = resolve(process.argv[2] ?? join(ROOT, 'dist', 'packages'));
for (const one of PACKAGES) console.log(pack(one));

/** @returns path of the tarball */
function pack({ name, description, entries, optional }) {
  const folder = join(target, name);
  rmSync(folder, { recursive: true, force: true });
  const home = join(ROOT, 'dist', 'libs', name, 'src');
  const found = collect(Object.values(entries).flatMap((entry) => modulesOf(join(home, entry))));
  const placeOf = (file) => placeIn(name, file);
  for (const file of found.files) {
    const place = join(folder, placeOf(file));
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, readFileSync(file, 'utf8').replace(/^\/\/# sourceMappingURL=.*\n?/m, ''));
  }
  const manifest = {
    name: `@keyward/${name}`,
    version: repository.version,
    description,
    license: repository.license,
    type: 'module',
    engines: repository.engines,
    sideEffects: false,
    main: './lib/index.js',
    types: './lib/index.d.ts',
    exports: {
      ...mapped(entries, (entry) => conditionsOf(`./lib/${entry}`)),
      './package.json': './package.json',
    },
    imports: mapped(found.aliases, (file) => conditionsOf(`./${placeOf(file).slice(0, -3)}`)),
    ...dependenciesOf(found.packages, optional),
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  copyFileSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
  const readme = join(ROOT, 'libs', name, 'README.md');
  copyFileSync(readme, join(folder, 'README.md'));
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', target, folder];
  return join(target, execFileSync('npm', args, { encoding: 'utf8' }).trim());
}

/** All that some modules need: their files, what they import by `#name`, and the packages they come from. */
function collect(files) {
  const found = { files: new Set(files), aliases: {}, packages: new Set() };
  for (const file of found.files) {
    for (const [, , name] of readFileSync(file, 'utf8').matchAll(IMPORTED)) {
      const path = name.startsWith('#') ? aliasOf(name) : resolve(dirname(file), name);
      if (name.startsWith('#')) found.aliases[name] = path;
      if (/^[.#]/.test(name)) modulesOf(path.slice(0, -3)).forEach((one) => found.files.add(one));
      else if (!isBuiltin(name)) found.packages.add(packageOf(name));
    }
  }
  return found;
}

/** The code of a module and its declarations. */
function modulesOf(path) {
  return [`${path}.js`, `${path}.d.ts`];
}

function aliasOf(name) {
  const conditions = repository.imports[name];
  if (!conditions) throw new Error(`${name} is not among the imports of package.json`);
  return join(ROOT, conditions.default);
}

/** Where a built file goes: the package's own under `lib`, those of other libraries under `lib/vendor/<library>`. */
function placeIn(name, file) {
  const [library, , ...rest] = relative(join(ROOT, 'dist', 'libs'), file).split('/');
  if (library.startsWith('..')) throw new Error(`${file} belongs to no library`);
  return join('lib', ...(library === name ? rest : ['vendor', library, ...rest]));
}

function dependenciesOf(packages, optional) {
  const names = [...packages].toSorted((a, b) => (a < b ? -1 : 1));
  const versionOf = (name) => {
    const version = PEERS[name] ?? repository.dependencies[name];
    if (version === undefined) throw new Error(`${name} is imported but is no dependency`);
    return version;
  };
  const isPeer = (name) => name in PEERS || optional.includes(name);
  const pick = (which) =>
    Object.fromEntries(names.filter(which).map((name) => [name, versionOf(name)]));
  const spare = names.filter((name) => optional.includes(name));
  return {
    dependencies: pick((name) => !isPeer(name)),
    peerDependencies: pick(isPeer),
    peerDependenciesMeta: Object.fromEntries(spare.map((name) => [name, { optional: true }])),
  };
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

function conditionsOf(path) {
  return { types: `${path}.d.ts`, default: `${path}.js` };
}

function isBuiltin(name) {
  return name.startsWith('node:') || builtinModules.includes(name);
}

/** `@scope/name` or `name` of what is imported. */
function packageOf(name) {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}
