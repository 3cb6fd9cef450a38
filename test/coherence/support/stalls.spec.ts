import { Stalls } from './stalls.js';

const stalls = new Stalls();
beforeEach(() => stalls.start());
afterEach(() => stalls.stop());

const turn = () => new Promise((resolve) => setTimeout(resolve, 30));
/** Does something in one turn of the process, and tells how long that took and what of it the process was not run. */
async function heldOf(work: () => void): Promise<{ tookMs: number; heldMs: number }> {
  await turn();
  const startedMs = performance.now();
  work();
  const endedMs = performance.now();
  return { tookMs: endedMs - startedMs, heldMs: stalls.within(startedMs, endedMs) };
}

test('what the process itself works is no stall', async () => {
  const { user } = process.cpuUsage();
  const { tookMs, heldMs } = await heldOf(() => {
    while (process.cpuUsage().user < user + 300_000);
  });
  expect(heldMs).toBeLessThan(tookMs - 200);
});

test('that it is not run is one, as long as that is', async () => {
  const never = new Int32Array(new SharedArrayBuffer(4));
  const { tookMs, heldMs } = await heldOf(() => Atomics.wait(never, 0, 0, 400));
  expect(heldMs).toBeGreaterThan(200);
  expect(heldMs).toBeLessThanOrEqual(tookMs);
});
