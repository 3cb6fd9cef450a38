import { Patience } from './patience.js';

describe('Patience', () => {
  it('gives up on an answer that does not come', async () => {
    const never = new Promise<void>(() => undefined);
    await expect(new Patience(20).for(never)).rejects.toThrow('Command timed out');
  });

  it('hands on an answer, and a refusal', async () => {
    const patience = new Patience(1_000);
    await expect(patience.for(Promise.resolve(7))).resolves.toBe(7);
    await expect(patience.for(Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  it('gives up on each for itself, whatever becomes of the others', async () => {
    const patience = new Patience(20);
    const never = () => patience.for(new Promise<string>(() => undefined)).catch(() => 'gave up');
    const [first, second, third] = [never(), patience.for(Promise.resolve('answer')), never()];
    expect(await Promise.all([first, second, third])).toEqual(['gave up', 'answer', 'gave up']);
    expect(await Promise.all([never(), never()])).toEqual(['gave up', 'gave up']);
  });

  it('does not count the time in which this process reads nothing', async () => {
    const soon = new Promise<string>((resolve) => {
      setTimeout(() => setTimeout(() => resolve('read'), 1), 1);
    });
    const waiting = new Patience(50).for(soon);
    const end = performance.now() + 200;
    while (performance.now() < end);
    await expect(waiting).resolves.toBe('read');
  });
});
