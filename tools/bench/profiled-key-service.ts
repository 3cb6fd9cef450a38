import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';

/**
 * The key service with a CPU profiler beside it, which runs from the message `start` to the message `save`: starting and warming up
 * are not in the profile.
 */
const [dir = '.'] = process.argv.slice(2);
const session = new Session();

process.on('message', (message) => {
  if (message === 'start') void start();
  if (message === 'save') void save();
});

async function start(): Promise<void> {
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.start');
}

async function save(): Promise<void> {
  const { profile } = await session.post('Profiler.stop');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, `key-service-${process.pid}.cpuprofile`), JSON.stringify(profile));
  process.send?.('saved');
}

await import('../../apps/key-service/src/main.js');
