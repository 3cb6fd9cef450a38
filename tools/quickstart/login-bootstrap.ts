import { entryOf } from './apps.js';

/** Service accounts of the platform: who may ask whom for what. */
export const CLIENTS = [
  {
    clientId: 'service-a',
    scopes: ['keys:verify', 'keys:provision'],
    audiences: ['key-service'],
  },
  { clientId: 'service-b', scopes: [], audiences: ['service-a'] },
] as const;
export type ClientId = (typeof CLIENTS)[number]['clientId'];
export type ClientSecrets = Record<ClientId, string>;

/** Login's process that makes the first admin and the service accounts where they are not there yet. */
export const BOOTSTRAP_ENTRY = entryOf('login', 'bootstrap.js');

/** What {@link BOOTSTRAP_ENTRY} wants to know beside the settings of login. */
export function bootstrapEnv(
  admin: { username: string; password: string },
  secrets: ClientSecrets,
): Record<string, string> {
  return {
    ADMIN_USERNAME: admin.username,
    ADMIN_PASSWORD: admin.password,
    BOOTSTRAP_CLIENTS: JSON.stringify(
      CLIENTS.map((client) => ({ ...client, secret: secrets[client.clientId] })),
    ),
  };
}

/** Text of `quickstart.json`: where the apps are and who may log in there. */
export function quickstartText(
  urls: object,
  admin: { username: string; password: string },
  secrets: ClientSecrets,
): string {
  const clients = CLIENTS.map(({ clientId }) => [
    clientId,
    { clientId, clientSecret: secrets[clientId] },
  ]);
  return `${JSON.stringify({ ...urls, admin, clients: Object.fromEntries(clients) }, null, 2)}\n`;
}
