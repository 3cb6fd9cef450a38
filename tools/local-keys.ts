import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { loadConfig, secretBytes } from '#server';
import type { HandedOver } from '../apps/service-a/src/local-keys/hand-over.js';
import { whatIsAsked, type Asked } from './local-keys/asked.js';
import { handOverNote } from './local-keys/hand-over-note.js';
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

/**
 * `npm run local-keys -- hand-over` hands service-a's own keys over to the key service, `... -- take-over` takes them over from there.
 * `... -- move <shadow|dual|cutover>` says which side counts, and hands over first. Where the services are, and who the admin is, is read from the file that `npm start` writes.
 */
async function main(): Promise<void> {
  const asked = whatIsAsked(process.argv.slice(3));
  const env = loadConfig(settings);
  const { login, keyService, admin } = readQuickstart(join(env.KEYWARD_HOME, 'quickstart.json'));
  const token = await logIn(login, admin);
  if (token === null) throw new Error('The admin of quickstart.json may not log in');
  const store: OwnStore = {
    databaseUrl: env.SERVICE_A_DATABASE_URL,
    secret: env.SERVICE_A_KEY_SECRET,
  };
  console.log(await run(asked, { url: keyService, token }, store));
}

/** @throws Error saying where the file comes from, where there is none */
function readQuickstart(file: string): z.infer<typeof quickstart> {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const why = `${file} cannot be read: run npm start first, with the same KEYWARD_HOME`;
    throw new Error(why, { cause });
  }
  return quickstart.parse(JSON.parse(text));
}

/** @returns how it went */
async function run(asked: Asked, central: Central, store: OwnStore): Promise<string> {
  if (asked.does === 'hand-over') return handedOver(await handOverTo(central, store));
  if (asked.does === 'move') return jsonOf(await moveTo(central, store, asked.mode));
  return takenOverText(await takeOverFrom(central, store, asked.mayLoseQuotas));
}

function handedOver(told: HandedOver): string {
  const note = handOverNote(told);
  if (note !== null) console.error(note);
  return jsonOf(told);
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
