import {
  giveBackKey,
  keepKey,
  serviceBWorks,
  showCall,
  showLogin,
  showProvisioning,
  showRefusals,
  showRevocation,
  type Scene,
} from './demo/flows.js';
import { showMigration } from './demo/migrate.js';
import { createNarrator } from './demo/narrator.js';
import { playRotation } from './demo/rotation.js';
import { findTarget } from './demo/target.js';

const OPTIONS = ['--rotate', '--migrate'];

/**
 * Walks the three flows, or with `--rotate` shows a rotation under traffic, on a platform that runs, or on one of its own, and prints every request and answer. Ends with 1 and
 * a clear line at the first answer that is not as expected. Afterwards service-b has the key that it had before, or a
 * good one where it had none.
 */
async function main(): Promise<void> {
  const [first, second] = process.argv.slice(3);
  const unknown = first === undefined || OPTIONS.includes(first) ? second : first;
  if (unknown !== undefined)
    throw new Error(
      `The demo does not know what ${unknown} is for here; it takes ${OPTIONS.join(' or ')}, or nothing`,
    );
  if (process.argv.includes('--migrate')) return migrationDemo();
  const { DEMO_QUICKSTART, KEYWARD_HOME = '.keyward' } = process.env;
  const target = await findTarget(DEMO_QUICKSTART, KEYWARD_HOME);
  const scene: Scene = { target, narrator: createNarrator((line) => console.log(line)) };
  const before = keepKey(target);
  try {
    const play = process.argv.includes('--rotate') ? playRotation : playFlows;
    await Promise.race([play(scene, before.restore), interruption()]);
  } catch (error) {
    before.restore();
    throw error;
  } finally {
    await target.release();
  }
}

/** Service-a moves from its own keys to the key service and back, on a platform that is started for it. */
async function migrationDemo(): Promise<void> {
  const narrator = createNarrator((line) => console.log(line));
  await Promise.race([showMigration(narrator), interruption()]);
  console.log('\nNo request failed, and no key was issued anew.');
}

async function playFlows(scene: Scene, restoreKey: () => void): Promise<void> {
  const { narrator } = scene;
  const token = await showLogin(scene);
  const hadGoodKey = await serviceBWorks(scene.target, token);

  narrator.chapter('Provisioning: admin -> service-a -> key service');
  const first = await showProvisioning(scene, token, 'demo');

  narrator.chapter('Service to service: user -> service-b -> service-a');
  await showCall(scene, token, first.key.id);
  await showRefusals(scene);

  narrator.chapter('Revocation: the key is dead when the call returns');
  await showRevocation(scene, token, first);

  narrator.chapter('A new key: service-b works again');
  const second = await showProvisioning(scene, token, 'demo, the second');
  await showCall(scene, token, second.key.id);

  if (hadGoodKey) await giveBackKey(scene, { token, restoreKey, keyId: second.key.id });
  console.log('\nAll answers were as expected.');
}

/** Rejects when the demo is to end early, so that what it has changed is put back. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => reject(new Error(`ended by ${signal}`)));
    }
  });
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(`\nThe demo failed: ${(error as Error).message}`);
  process.exit(1);
}
