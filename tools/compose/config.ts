import { z } from 'zod';
import { newPassword, username } from '#contracts';
// Past the library's door, which would bring the whole of Nest into a process that serves nothing.
import { parseConfig } from '../../libs/server/src/load-config.js';

const secret = z.string().min(1, 'is missing');
const people = {
  ADMIN_USERNAME: username.default('admin'),
  ADMIN_PASSWORD: newPassword,
  SERVICE_A_CLIENT_SECRET: secret,
  SERVICE_B_CLIENT_SECRET: secret,
};

const prepareEnv = z.object({
  ...people,
  MIGRATION_DATABASE_URL: secret,
  LOGIN_DATABASE_URL: secret,
  KEY_SERVICE_DATABASE_URL: secret,
  LOGIN_SECRET: secret,
});

const provisionEnv = z.object({
  ...people,
  /** Folder of `quickstart.json` and of the key that service-b reads. */
  STATE_DIR: z.string().min(1),
  LOGIN_URL: z.url(),
  KEY_SERVICE_URL: z.url(),
  SERVICE_A_URL: z.url(),
  SERVICE_B_URL: z.url(),
});

/** Settings of the step before the apps; each may come as `NAME_FILE`. */
export function readPrepareConfig(): z.infer<typeof prepareEnv> {
  return parseConfig(prepareEnv, process.env);
}

/** Settings of the step after login and the key service are up; each may come as `NAME_FILE`. */
export function readProvisionConfig(): z.infer<typeof provisionEnv> {
  return parseConfig(provisionEnv, process.env);
}
