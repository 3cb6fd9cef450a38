import { runStart } from './support/command.js';
import { startPlatform, type TestPlatform } from './support/platform.js';
import { sceneOf } from './support/scene.js';

let platform: TestPlatform;
beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform?.remove());

test('users of service-b notice nothing of a rotation: none of their requests fails', async () => {
  const { code, output } = await runStart('demo --rotate', {
    DEMO_QUICKSTART: platform.at('quickstart.json'),
  });
  // why a request failed the apps have said, and what they said goes with the platform
  if (code !== 0) process.stdout.write(platform.output());
  expect(output).toContain('All answers were as expected.');
  expect(code).toBe(0);
  const [, sent, good, failed] =
    /(\d+) requests, (\d+) answered 200, (\d+) failed/.exec(output)?.map(Number) ?? [];
  expect({ good, failed }).toEqual({ good: sent, failed: 0 });
  expect(sent).toBeGreaterThan(50);
  expect(output).not.toMatch(/kw_live_[0-9A-Za-z]{16}_[0-9A-Za-z]/);
  const scene = sceneOf(platform);
  const token = await scene.token();
  const keys = await scene.tell('keyService', '/v1/keys?q=demo+of+a+rotation', { token });
  expect(keys.body).toMatchObject({
    data: [{ status: 'revoked', revocationReason: 'superseded' }],
  });
  expect(await scene.tell('serviceB', '/v1/summary', { token })).toMatchObject({ status: 200 });
});
