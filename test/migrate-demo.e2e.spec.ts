import { startCommand } from './support/command.js';
import { START } from './support/platform.js';

it('service-a moves from its own keys to the key service and back under traffic, with one key and no failed request', async () => {
  const command = [process.execPath, START, 'demo', '--migrate'] as [string, ...string[]];
  const { code, output } = await startCommand(command, {}).ended;
  expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
  const modes = [...output.matchAll(/SERVICE_A_KEYS=(\w+)/g)].map(([, mode]) => mode);
  expect(modes).toEqual(['local', 'dual', 'central', 'dual', 'local']);
  const sides = [...output.matchAll(/which side counts: (\w+)/g)].map(([, side]) => side);
  expect(sides).toEqual(['dual', 'cutover', 'dual', 'shadow']);
  expect(output).toMatch(/agree, 0 only old, 0 only central/);
  const [, sent, failed] = /One key, (\d+) requests, (\d+) of them failed/.exec(output) ?? [];
  expect(Number(sent)).toBeGreaterThan(300);
  expect(failed).toBe('0');
  // the one secret that was issued is nowhere in what was printed
  expect(output).not.toMatch(/kw_live_[0-9A-Za-z]{16}_/);
}, 180_000);
