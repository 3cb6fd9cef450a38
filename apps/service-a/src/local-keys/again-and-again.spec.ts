import { againAndAgain } from './again-and-again.js';

it('begins anew when the last round has ended, never two at once, and ends with the one under way', async () => {
  let rounds = 0;
  let underWay = 0;
  let most = 0;
  let end: () => void = () => undefined;
  let began: () => void = () => undefined;
  let begun = new Promise<void>((resolve) => (began = resolve));
  const repetition = againAndAgain(async () => {
    rounds += 1;
    underWay += 1;
    most = Math.max(most, underWay);
    await new Promise<void>((resolve) => {
      end = resolve;
      began();
    });
    underWay -= 1;
  }, 1);
  for (let i = 1; i <= 3; i += 1) {
    await begun;
    expect(rounds).toBe(i);
    begun = new Promise<void>((resolve) => (began = resolve));
    if (i < 3) end();
  }
  const stopped = repetition.stop();
  expect(underWay).toBe(1);
  end();
  await stopped;
  expect([rounds, underWay, most]).toEqual([3, 0, 1]);
});

it('begins nothing when it is stopped in the pause', async () => {
  let rounds = 0;
  const repetition = againAndAgain(async () => void (rounds += 1), 3_600_000);
  await repetition.stop();
  expect(rounds).toBe(0);
});
