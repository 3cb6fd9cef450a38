import { hashSync } from 'bcryptjs';
import { Attempts } from '../attempts.js';
import { SlowGuesses } from './slow-guesses.js';
import { SlowPool } from './slow-pool.js';

const given = {
  text: 'old_one.secret',
  service: 'service-a',
  clientIp: '203.0.113.9',
  isDry: false,
};
const hash = hashSync(given.text, 8);

describe('SlowGuesses', () => {
  let pool: SlowPool;
  let guesses: SlowGuesses;
  beforeEach(() => {
    pool = new SlowPool();
    const attempts = new Attempts({ burst: 2, perSecond: 2 });
    guesses = new SlowGuesses({ attempts, pool, now: () => 0 });
  });
  afterEach(() => pool.close());

  const guess = (part: string) => guesses.isRight(given, { algorithm: 'bcrypt', hash, part });

  it('cost a source one each where they are wrong, and nothing where they are right', async () => {
    for (let i = 0; i < 3; i += 1) await expect(guess(given.text)).resolves.toBe(true);
    for (let i = 0; i < 2; i += 1) await expect(guess(`guess ${i}`)).resolves.toBe(false);
    await expect(guess(given.text)).resolves.toBe('busy');
    expect(guesses.isSpent(given)).toBe(true);
    expect(guesses.isSpent({ ...given, clientIp: '203.0.113.10' })).toBe(false);
  });

  it('cost nothing where they were not compared', async () => {
    pool.close();
    for (let i = 0; i < 5; i += 1) await expect(guess(`guess ${i}`)).rejects.toThrow('No process');
    expect(guesses.isSpent(given)).toBe(false);
  });
});
