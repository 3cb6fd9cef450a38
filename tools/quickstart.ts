import { banner } from './quickstart/banner.js';
import { readConfig, type QuickstartConfig } from './quickstart/config.js';
import { openHome, type Home } from './quickstart/home.js';
import { createParts, toldOf, type Parts } from './quickstart/part.js';
import { startPlatform } from './quickstart/platform.js';
import { checkPorts } from './quickstart/ports.js';
import { whenAskedToStop } from './quickstart/stop-request.js';

/**
 * The whole platform, until it is asked to stop: then it ends with 0 and leaves nothing running. It ends with 1, after one
 * clear line, when it cannot start or when one of its processes ends by itself.
 */
async function main(): Promise<number> {
  const startedAtMs = performance.now();
  const asked = whenAskedToStop();
  // Whoever reads what is printed here may go away before us.
  process.stdout.on('error', () => undefined);
  try {
    const config = readConfig(process.env);
    const home = openHome(config.KEYWARD_HOME);
    await checkPorts(portsOf(config), config.HOST).catch((error: unknown) => {
      home.abandon();
      throw error;
    });
    try {
      return await runPlatform(config, home, { asked, startedAtMs });
    } finally {
      home.unlock();
    }
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

function portsOf(config: QuickstartConfig): Record<string, number> {
  const { LOGIN_PORT, KEY_SERVICE_PORT, SERVICE_A_PORT, SERVICE_B_PORT } = config;
  return { LOGIN_PORT, KEY_SERVICE_PORT, SERVICE_A_PORT, SERVICE_B_PORT };
}

async function runPlatform(
  config: QuickstartConfig,
  home: Home,
  { asked, startedAtMs }: { asked: Promise<string>; startedAtMs: number },
): Promise<number> {
  const parts = createParts();
  try {
    const up = startPlatform({ config, home, parts, say: (line) => console.log(line) });
    const serving = up.then((platform) => {
      const { urls, admin, isNew } = platform;
      const showPassword = isNew && config.ADMIN_PASSWORD === undefined;
      const tookMs = performance.now() - startedAtMs;
      console.log(banner({ urls, home: home.path, admin, showPassword, tookMs }));
      process.send?.({ ready: 'keyward' });
      return asked;
    });
    await Promise.race([serving, asked, failureOf(parts)]);
    console.log('Stopping ...');
    return 0;
  } finally {
    await parts.stopAll();
  }
}

/** Rejects when a process of the platform ends by itself. */
async function failureOf(parts: Parts): Promise<never> {
  throw new Error(toldOf(await parts.ended));
}

process.exit(await main());
