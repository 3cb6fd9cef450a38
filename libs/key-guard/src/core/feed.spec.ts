import { setTimeout as wait } from 'node:timers/promises';
import { createHangingServer } from '../testing/hanging-server.js';
import { serveFeed } from '../testing/stub-feed.js';
import { createStubServer } from '../testing/stub-server.js';
import { createKeyGuard } from './key-guard.js';

test('a guard follows another replica where connections to the first are neither made nor refused', async () => {
  const [hanging, well] = await Promise.all([createHangingServer(), createStubServer()]);
  well.answer((_seen, response) => void serveFeed(response));
  const guard = createKeyGuard({
    urls: [hanging.url, well.url],
    token: () => Promise.resolve('own-token'),
    service: 'reports',
  });
  while (!guard.state().isProven) await wait(20);
  expect(well.seen.map(({ path }) => path)).toEqual(['/v1/changes']);
  await guard.close();
  await Promise.all([hanging.close(), well.close()]);
});
