import { Places } from './places.js';

describe('Places', () => {
  it('lets as many start as there are, the others in turn, and none that has left the line', () => {
    const places = new Places(2);
    const started: string[] = [];
    const take = (name: string) => places.take(() => started.push(name));
    for (const name of ['a', 'b']) take(name);
    const leave = take('c');
    take('d');
    expect(started).toEqual(['a', 'b']);
    leave();
    places.giveBack();
    expect(started).toEqual(['a', 'b', 'd']);
    for (let i = 0; i < 2; i += 1) places.giveBack();
    for (const name of ['e', 'f', 'g']) take(name);
    expect(started).toEqual(['a', 'b', 'd', 'e', 'f']);
  });

  it('is full where 200 wait, until one starts or leaves', () => {
    const places = new Places(1);
    const leaving = Array.from({ length: 201 }, () => places.take(() => undefined));
    expect(places.isFull).toBe(true);
    leaving[7]!();
    expect(places.isFull).toBe(false);
    places.take(() => undefined);
    expect(places.isFull).toBe(true);
    places.giveBack();
    expect(places.isFull).toBe(false);
  });
});
