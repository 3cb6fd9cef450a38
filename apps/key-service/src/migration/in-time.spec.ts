import { inTime } from './in-time.js';

test('who waits has what is done in time, and what fails, as it is', async () => {
  await expect(inTime(Promise.resolve('done'), 60_000)).resolves.toBe('done');
  await expect(inTime(Promise.reject(new Error('failed')), 60_000)).rejects.toThrow('failed');
});

test('who waits too long is told so, and whoever asks again has what came of it', async () => {
  let end: (done: string) => void = () => undefined;
  const work = new Promise<string>((resolve) => (end = resolve));
  await expect(inTime(work, 1)).rejects.toThrow('Not done within 1 ms');
  const again = inTime(work, 60_000);
  end('done');
  await expect(again).resolves.toBe('done');
});
