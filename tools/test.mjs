// `npm test`: everything that CI checks, set-up included. Ends with a line `N passed, N failed`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { build, checkNode, ensureInstalled, ROOT, run } from './setup.mjs';

/** What lets no request fail, or asks as much as the machine can answer, shares it with no other test. */
const ALONE = String.raw`/test/coherence/(races|revocation|rolling)|/test/(demo-rotation|migrate-demo)\.e2e`;
/** What takes servers away and waits for what comes of it. It leaves the machine to another of its kind, not to one that keeps it busy. */
const WAITING = String.raw`/test/(coherence/(?!races|revocation|rolling)|guard/(?!examples))|/test/(outages|demo)\.e2e`;
/** What waits for time to pass nearly all of its own, and needs no more of the machine than a server or two: beside any of those. */
const IDLE = String.raw`/key-guard/src/core/cached-verifier|/key-service/src/changes/(slow-database|feed)\.`;
const results = mkdtempSync(join(tmpdir(), 'keyward-test-'));
const count = { passed: 0, failed: 0 };
/** What failed, said once more at the end: what jest said of it stands far above, among much else. */
const failures = [];

checkNode();
process.chdir(ROOT);
process.on('exit', () => rmSync(results, { recursive: true, force: true }));
try {
  await ensureInstalled();
  await ensureRedis();
  const [isBuilt] = await Promise.all([
    step('build', build),
    step('format', () => tool('prettier/bin/prettier.cjs', '--check', '.')),
    step('lint', () => tool('oxlint/bin/oxlint', '--type-aware', '--deny-warnings')),
  ]);
  if (isBuilt) {
    await jest('tests side by side', [
      ...['--testPathIgnorePatterns', ALONE, WAITING, IDLE],
      '--maxWorkers=2',
    ]);
    await Promise.all([
      jest('tests that wait', ['--testPathPatterns', WAITING, '--maxWorkers=2']),
      jest('tests that only wait', ['--testPathPatterns', IDLE, '--runInBand']),
    ]);
    await jest('tests alone', ['--testPathPatterns', ALONE, '--runInBand']);
  }
} catch (error) {
  console.error(error.message);
  count.failed += 1;
}
for (const one of failures) console.log(`FAILED ${one}`);
console.log(`${count.passed} passed, ${count.failed} failed`);
process.exitCode = count.failed === 0 ? 0 : 1;

/** Runs one step; counts it where it fails. */
async function step(name, work) {
  console.log(`\n== ${name}`);
  try {
    await work();
    return true;
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    count.failed += 1;
    return false;
  }
}

/** Runs tests and adds up what they say. A group without any test has failed: what its pattern names was moved. */
async function jest(name, args) {
  const file = join(results, `${name.replaceAll(' ', '-')}.json`);
  const ran = await attempt(name, args, file);
  const said = readResults(file);
  // A suite that cannot even be loaded has no tests to fail.
  const failed = said.numFailedTests + said.numRuntimeErrorTestSuites;
  count.passed += said.numPassedTests;
  count.failed += failed === 0 && !ran ? 1 : failed;
  if (failed === 0 && !ran) failures.push(`${name}: ended without a failed test; see above`);
  failures.push(...said.testResults.flatMap(failuresOf));
}

/** Its failed tests with the first words of what was wrong; where it could not be loaded, why. */
function failuresOf({ name, message, assertionResults }) {
  const file = relative(join(ROOT, 'dist'), name);
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  const isLoaded = assertionResults.length > 0 || message === '';
  if (!isLoaded) return [`${file}: ${wordsOf(message)}`];
  return failed.map((one) => `${file}: ${one.fullName}: ${wordsOf(one.failureMessages.join(' '))}`);
}

function wordsOf(message) {
  return stripVTControlCharacters(message).replace(/\s+/g, ' ').trim().slice(0, 300);
}

async function attempt(name, args, file) {
  console.log(`\n== ${name}`);
  const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  // What a suite that failed to start has left open would keep the run from ending; its servers end with it.
  const jestArgs = ['--forceExit', '--json', `--outputFile=${file}`, ...args];
  try {
    await run(
      process.execPath,
      [...flags, join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js'), ...jestArgs],
      { KEYWARD_SKIP_SETUP: '1' },
    );
    return true;
  } catch (error) {
    console.error(error.message);
    return false;
  }
}

function readResults(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { numPassedTests: 0, numFailedTests: 0, numRuntimeErrorTestSuites: 0, testResults: [] };
  }
}

function tool(path, ...args) {
  return run(process.execPath, [join(ROOT, 'node_modules', ...path.split('/')), ...args]);
}

/** The end-to-end tests need a real Redis. Root gets Debian's; anybody else is told how. */
async function ensureRedis() {
  if (hasRedis()) return;
  const command = 'apt-get update && apt-get install -y --no-install-recommends redis-server';
  if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).status !== 0) {
    throw new Error(`The tests need redis-server on the PATH. On Debian: sudo sh -c '${command}'`);
  }
  console.log(`No redis-server on the PATH; running ${command}`);
  await run('sh', ['-c', command], {
    DEBIAN_FRONTEND: 'noninteractive',
    // The package would start a server of its own where the system starts services.
    RUNLEVEL: '1',
  });
  if (!hasRedis()) throw new Error('redis-server was installed but is not on the PATH');
}

function hasRedis() {
  return spawnSync('redis-server', ['--version']).status === 0;
}
