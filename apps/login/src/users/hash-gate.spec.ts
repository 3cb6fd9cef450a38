import { createGate } from './hash-gate.js';

test('so many run, so many wait in order, and the next is turned away at once', async () => {
  const gate = createGate({ running: 2, waiting: 2 });
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const enter = (number: number) =>
    gate.run(() => {
      begun.push(number);
      return new Promise<void>((resolve) => ends.push(resolve));
    });
  const all = [1, 2, 3, 4].map(enter);
  await expect(enter(5)).rejects.toMatchObject({ status: 503 });
  expect(begun).toEqual([1, 2]);
  ends[0]!();
  await all[0];
  await Promise.resolve();
  expect(begun).toEqual([1, 2, 3]);
  ends[1]!();
  await all[1];
  await Promise.resolve();
  for (const end of ends) end();
  await Promise.all(all);
  expect(begun).toEqual([1, 2, 3, 4]);
});

test('work that fails makes room like any other', async () => {
  const gate = createGate({ running: 1, waiting: 0 });
  await expect(gate.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await gate.run(() => Promise.resolve('yes'))).toBe('yes');
});
