import { realpathSync } from 'node:fs';
import { z } from 'zod';
import { createClientBody, username } from '#contracts';
import { namedDatabase } from '#postgres';
import {
  checkTokenEnv,
  ConfigError,
  connectWithin,
  createLogger,
  loadConfig,
  tokenEnv,
} from '#server';
import { insertClient } from './clients/clients.js';
import { databaseOf, namesDatabase, NO_DATABASE, storeEnv } from './config.js';
import { createDataSource } from './database.js';
import { digestOf, loginSecretsOf } from './secrets.js';
import { createTokenKeys } from './tokens/create-token-keys.js';
import { faultOfContext, faultOfLength } from './users/password-policy.js';
import { hashPassword } from './users/passwords.js';
import { insertUser } from './users/users.js';

const firstClient = createClientBody.extend({
  secret: z.string().regex(/^[\x21-\x7e]{32,256}$/, 'must be 32 to 256 visible characters'),
});

/** Settings of the bootstrap. */
export const bootstrapEnv = z
  .object({
    ...storeEnv.shape,
    ...tokenEnv.shape,
    ADMIN_USERNAME: z.string().default('admin').pipe(username),
    ADMIN_PASSWORD: z
      .string({ error: 'is required' })
      .max(1_000)
      .superRefine((password, context) => {
        const message = faultOfLength(password);
        if (message !== null) context.addIssue({ code: 'custom', message });
      }),
    /** `[{clientId, scopes, audiences, secret}]` */
    BOOTSTRAP_CLIENTS: z
      .string()
      .default('[]')
      .transform((text, context) => {
        try {
          return JSON.parse(text) as unknown;
        } catch {
          context.addIssue({ code: 'custom', message: 'must be JSON' });
          return z.NEVER;
        }
      })
      .pipe(z.array(firstClient).max(20)),
  })
  .superRefine(checkTokenEnv)
  .refine(namesDatabase, NO_DATABASE);

/** What was missing and is there now. */
export interface Bootstrapped {
  /** User name of the first admin, null where there was a user of that name. */
  admin: string | null;
  clients: string[];
  warnings: string[];
}

/**
 * Creates the first admin and the service accounts that are missing, and changes nothing that is there. The password of the
 * first admin must be long and uncommon; that it holds the user name is only warned of, for it is the operator's own choice.
 */
export async function bootstrap(env: z.infer<typeof bootstrapEnv>): Promise<Bootstrapped> {
  const log = createLogger('login-bootstrap', 'silent');
  const secrets = loginSecretsOf(env.LOGIN_SECRET);
  const { variable, url } = databaseOf(env);
  const db = createDataSource(url, log);
  const database = namedDatabase(variable, url);
  await connectWithin({ limitMs: 30_000, log, database }, async () => {
    if (!db.isInitialized) await db.initialize();
    await createTokenKeys(env, db, secrets.signingKeys).start();
  });
  try {
    return await db.transaction(async (manager) => {
      const { ADMIN_USERNAME: username, ADMIN_PASSWORD: password } = env;
      const passwordHash = await hashPassword(password);
      const rights = { roles: ['admin' as const], services: null };
      const admin = await insertUser(manager, { username, passwordHash, ...rights });
      const clients: string[] = [];
      for (const { secret, ...client } of env.BOOTSTRAP_CLIENTS) {
        const digest = digestOf(secrets.clientSecrets, secret);
        if (await insertClient(manager, client, digest)) clients.push(client.clientId);
      }
      const warning = admin === null ? null : faultOfContext(password, username);
      return { admin: admin?.username ?? null, clients, warnings: warning ? [warning] : [] };
    });
  } finally {
    await db.destroy();
  }
}

/** `node dist/apps/login/src/bootstrap.js`: one JSON line of what was created, never a secret. */
async function main(): Promise<void> {
  try {
    const { warnings, ...created } = await bootstrap(loadConfig(bootstrapEnv));
    process.stdout.write(`${JSON.stringify({ created, warnings })}\n`);
  } catch (error) {
    const { message, stack = message } = error as Error;
    process.stderr.write(`${error instanceof ConfigError ? message : stack}\n`);
    process.exitCode = 1;
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename)
  await main();
