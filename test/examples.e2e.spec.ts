import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { startCommand } from './support/command.js';
import { ROOT } from './support/platform.js';
import { startScene, type Scene } from './support/scene.js';
import { tempDir } from './support/temp-dir.js';

const NOTEBOOK = join(ROOT, 'examples', 'notebook', 'service-b.ipynb');
const dir = tempDir();
let scene: Scene;
let environment: Record<string, string>;
let summary: unknown;

beforeAll(async () => {
  scene = await startScene();
  environment = {
    KEYWARD_API_KEY: readFileSync(scene.platform.at('service-b.key'), 'utf8'),
    SERVICE_A_URL: scene.platform.quickstart.serviceA,
  };
  const { body } = await scene.tell('serviceB', '/v1/summary', { token: await scene.token() });
  summary = body;
});
afterAll(async () => {
  await scene?.platform.remove();
  dir.remove();
});

const ends = (command: [string, ...string[]], over: Record<string, string> = {}) =>
  startCommand(command, { ...environment, ...over }).ended;
const succeeds = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

describe('the script with the client', () => {
  const script = join(dir.path, 'summary.mjs');
  beforeAll(() => {
    const source = readFileSync(join(ROOT, 'examples', 'script', 'summary.ts'), 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const client = pathToFileURL(join(ROOT, 'dist', 'libs', 'key-client', 'src', 'index.js')).href;
    writeFileSync(script, outputText.replace(`'@keyward/key-client'`, JSON.stringify(client)));
  });

  it('says what service-b says', async () => {
    const { code, output } = await ends([process.execPath, script]);
    expect([code, JSON.parse(output)]).toEqual([0, summary]);
  });

  it('says why it was refused, and never the key', async () => {
    const key = `kw_live_${'0'.repeat(16)}_${'0'.repeat(49)}`;
    const { code, output } = await ends([process.execPath, script], { KEYWARD_API_KEY: key });
    expect([code, output]).toEqual([1, expect.stringContaining('403 API_KEY_INVALID') as string]);
    expect(output).not.toContain(key);
  });
});

const python = succeeds('python3', '-c', 'import json');
const withPython = python ? describe : describe.skip;
const jupyter =
  succeeds('jupyter-nbconvert', '--version') && succeeds('python3', '-c', 'import ipykernel');
const withJupyter = jupyter ? describe : describe.skip;
const NO_PYTHON = python ? '' : ' (SKIPPED: there is no python3)';
const NO_JUPYTER = jupyter
  ? ''
  : ' (SKIPPED: jupyter-nbconvert or ipykernel is missing; on Debian: apt-get install jupyter-nbconvert python3-ipykernel)';

withJupyter(`the notebook in Jupyter${NO_JUPYTER}`, () => {
  it('says what service-b says', async () => {
    const options = ['--to', 'notebook', '--execute', '--output-dir', dir.path, '--output', 'done'];
    const { code, output } = await ends(['jupyter-nbconvert', ...options, NOTEBOOK]);
    expect({ code, output }).toEqual({ code: 0, output });
    const done = readFileSync(join(dir.path, 'done.ipynb'), 'utf8');
    const cells = (JSON.parse(done) as { cells: { outputs?: { text?: string[] }[] }[] }).cells;
    const text = cells.at(-1)?.outputs?.[0]?.text?.join('') ?? '';
    expect(JSON.parse(text)).toEqual(summary);
    expect(done).not.toContain(environment['KEYWARD_API_KEY']!.trim());
  });
});

withPython(`the notebook as a plain program${NO_PYTHON}`, () => {
  it('says what service-b says', async () => {
    const { code, output } = await ends(['python3', '-c', codeOf(NOTEBOOK)]);
    expect([code, JSON.parse(output)]).toEqual([0, summary]);
  });

  it('says why it was refused, and never the key', async () => {
    const key = `kw_live_${'0'.repeat(16)}_${'0'.repeat(49)}`;
    const { code, output } = await ends(['python3', '-c', codeOf(NOTEBOOK)], {
      KEYWARD_API_KEY: key,
    });
    expect([code, output]).toEqual([1, expect.stringContaining('403 API_KEY_INVALID') as string]);
    expect(output).not.toContain(key);
  });
});

test('the notebook is kept without output', () => {
  const { cells } = JSON.parse(readFileSync(NOTEBOOK, 'utf8')) as { cells: object[] };
  for (const cell of cells)
    expect(cell).toMatchObject('outputs' in cell ? { outputs: [], execution_count: null } : {});
});

/** The code of a notebook, its cells in a row. */
function codeOf(path: string): string {
  const { cells } = JSON.parse(readFileSync(path, 'utf8')) as {
    cells: { cell_type: string; source: string[] }[];
  };
  const code = cells.filter((cell) => cell.cell_type === 'code');
  return code.map((cell) => cell.source.join('')).join('\n\n');
}
