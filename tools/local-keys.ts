import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { importMode } from '#contracts';
import { loadConfig, secretBytes } from '#server';
import { moveTo } from './local-keys/move.js';
import { handOverTo, takeOverFrom, type Central, type OwnStore } from './local-keys/moves.js';
import { takenOverText } from './local-keys/taken-over-text.js';
import { logIn } from './quickstart/provision.js';

const settings = z.object({
  SERVICE_A_DATABASE_URL: z.string().startsWith('postgres'),
  SERVICE_A_KEY_SECRET: secretBytes,
  KEYWARD_HOME: z.string().default('.keyward'),
});

const quickstart = z.object({
  login: z.url(),
  keyService: z.url(),
  admin: z.object({ username: z.string(), password: z.string() }),
});

/** Takes keys with a quota over too, which service-a does not count. */
const WITHOUT_QUOTA = '--without-quota';

/**
 * `npm run local-keys -- hand-over` hands service-a's own keys over to the key service, `... -- take-over` takes them over from there.
 * `... -- move <shadow|dual|cutover>` says which side counts, and hands over first. Where the services are, and who the admin is, is read from the file that `npm start` writes.
 */
async function main(): Promise<void> {
  const move = moveAskedFor(process.argv.slice(3));
  const env = loadConfig(settings);
  const told = readFileSync(join(env.KEYWARD_HOME, 'quickstart.json'), 'utf8');
  const { login, keyService, admin } = quickstart.parse(JSON.parse(told));
  const token = await logIn(login, admin);
  if (token === null) throw new Error('The admin of quickstart.json may not log in');
  const store: OwnStore = {
    databaseUrl: env.SERVICE_A_DATABASE_URL,
    secret: env.SERVICE_A_KEY_SECRET,
  };
  console.log(await move({ url: keyService, token }, store));
}

/** @returns what does it, and says how it went */
function moveAskedFor([what, to]: string[]): (
  central: Central,
  store: OwnStore,
) => Promise<string> {
  if (what === 'hand-over') return async (...given) => jsonOf(await handOverTo(...given));
  const mayLoseQuotas = to === WITHOUT_QUOTA;
  if (what === 'take-over' && (to === undefined || mayLoseQuotas))
    return async (...given) => takenOverText(await takeOverFrom(...given, mayLoseQuotas));
  const mode = importMode.safeParse(to);
  if (what === 'move' && mode.success)
    return async (...given) => jsonOf(await moveTo(...given, mode.data));
  throw new Error(
    `Say hand-over, take-over with or without ${WITHOUT_QUOTA}, or move with shadow, dual or cutover`,
  );
}

function jsonOf(told: object): string {
  return JSON.stringify(told, null, 2);
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
