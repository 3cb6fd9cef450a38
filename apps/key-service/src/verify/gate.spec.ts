import { Gate } from './gate.js';

describe('Gate', () => {
  it('lets so many run at once, and the others in their order as these end', async () => {
    const gate = new Gate(2);
    const ends: (() => void)[] = [];
    const begun: number[] = [];
    const works = [0, 1, 2, 3].map((number) =>
      gate.pass(() => {
        begun.push(number);
        return new Promise<number>((resolve) => ends.push(() => resolve(number)));
      }),
    );
    expect(begun).toEqual([0, 1]);
    ends[1]!();
    await works[1];
    await Promise.resolve();
    expect(begun).toEqual([0, 1, 2]);
    ends[0]!();
    ends[2]!();
    await works[2];
    await Promise.resolve();
    ends[3]!();
    expect(await Promise.all(works)).toEqual([0, 1, 2, 3]);
  });

  it('lets the next one in when one fails', async () => {
    const gate = new Gate(1);
    const failed = gate.pass(() => Promise.reject(new Error('no')));
    const next = gate.pass(() => Promise.resolve('yes'));
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
    const thrown = gate.pass(() => {
      throw new Error('at once');
    });
    await expect(thrown).rejects.toThrow('at once');
    expect(await gate.pass(() => Promise.resolve('yes'))).toBe('yes');
  });

  it('lets any number of works through that end at once', async () => {
    const gate = new Gate(1);
    let held: () => void = () => undefined;
    gate.enter((leave) => (held = leave));
    const ended = new Promise<number>((resolve) => {
      for (let i = 1; i <= 50_000; i += 1)
        gate.enter((leave) => {
          leave();
          if (i === 50_000) resolve(i);
        });
    });
    held();
    expect(await ended).toBe(50_000);
  });
});
