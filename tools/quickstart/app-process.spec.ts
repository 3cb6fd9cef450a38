import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempDir } from '../../test/support/temp-dir.js';
import { readableLine, startAppProcess } from './app-process.js';
import { createParts, toldOf } from './part.js';

const KEY = `kw_live_${'a'.repeat(16)}_${'b'.repeat(49)}`;

describe('an app as a process', () => {
  const dir = tempDir();
  afterAll(dir.remove);

  function start(script: string) {
    const entry = join(dir.path, 'app.mjs');
    const logFile = join(dir.path, 'app.log');
    writeFileSync(entry, script);
    const said: string[] = [];
    const options = {
      name: 'app',
      entry,
      env: {},
      logFile,
      say: (line: string) => said.push(line),
    };
    return { app: startAppProcess(options), said, log: () => readFileSync(logFile, 'utf8') };
  }

  it('tells when it serves, and ends when it is asked to', async () => {
    const { app } = start(`
      setInterval(() => {}, 1000);
      process.on('SIGTERM', () => process.exit(0));
      process.send({ ready: 'app' });
    `);
    await app.ready;
    await app.stop();
    expect(await app.exited).toBe('exit code 0');
  });

  it('that crashes is told with what it said last, secrets masked', async () => {
    const { app } = start(`throw new Error('lost ${KEY}')`);
    const parts = createParts();
    parts.add(app);
    const { part, how } = await parts.ended;
    expect([part.name, how]).toEqual(['app', 'exit code 1']);
    expect(part.lastLines().join('\n')).toContain('Error: lost [masked]');
    await parts.stopAll();
  });

  it('that is killed is told with the signal, also where it has said nothing', async () => {
    const { app, log } = start(`
      process.send({ ready: 'app' });
      setInterval(() => {}, 1000);
    `);
    const parts = createParts();
    parts.add(app);
    await app.ready;
    process.kill(app.pid, 'SIGKILL');
    expect(toldOf(await parts.ended)).toBe(
      'app ended unexpectedly (killed by SIGKILL); it had said nothing',
    );
    expect(log()).toBe('');
    await parts.stopAll();
  });

  it('has its warnings told in one readable line, once, and all else only in its log', async () => {
    const { app, said, log } = start(`
      const line = (level, msg) => console.log(JSON.stringify({ level, msg, err: { message: 'down' } }));
      line('info', 'listens');
      line('warn', 'Redis is away');
      line('warn', 'Redis is away');
    `);
    await app.exited;
    expect(said).toEqual(['app: warn: Redis is away (down)']);
    expect(log().trim().split('\n')).toHaveLength(3);
  });
});

describe('readableLine', () => {
  it('leaves a line that is no log line as it is, but for secrets', () => {
    expect(readableLine(`at ${KEY}`)).toEqual({ text: 'at [masked]', isNotable: false });
    expect(readableLine('null').text).toBe('null');
  });

  it('says a sentence once that is its error as well', () => {
    const line = JSON.stringify({
      level: 'error',
      msg: 'It is away',
      err: { message: 'It is away' },
    });
    expect(readableLine(line).text).toBe('error: It is away');
  });
});
