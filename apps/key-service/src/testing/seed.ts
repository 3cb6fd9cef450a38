import type { CreateKeyBody, IssuedKey } from '#contracts';
import type { ManagementApp } from './management-app.js';

/** What tests start from, and short ways to make more. */
export interface Seed {
  /** Token of an admin of all services. */
  admin: string;
  issue: (over?: Partial<Record<keyof CreateKeyBody, unknown>>) => Promise<IssuedKey>;
  /** The verdict on a key's text, as service-a gets it. */
  codeOf: (text: string, service?: string) => Promise<string>;
  /** How many rows a table has. */
  count: (table: string, where?: string) => Promise<number>;
}

/** Two services, `service-a` with `reports:read|write|delete` and `service-x` with `things:*`, and the consumer `service-b`. */
export async function seed({ call, issuer, postgres }: ManagementApp): Promise<Seed> {
  const admin = await issuer.person('usr_admin');
  const post = async <T>(path: string, body: object): Promise<T> => {
    const answer = await call('post', path, admin).send(body);
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.text}`);
    return answer.body as T;
  };
  const scopes = ['reports:read', 'reports:write', 'reports:delete'];
  await post('/v1/services', { slug: 'service-a', scopes });
  await post('/v1/services', { slug: 'service-x', scopes: ['things:read', 'things:write'] });
  await post('/v1/consumers', { slug: 'service-b' });
  return {
    admin,
    issue: (over = {}) => post('/v1/keys', { ...keyBody(), ...over }),
    codeOf: async (text, service = 'service-a') => {
      const token = await issuer.service(service, 'keys:verify');
      const { body } = await call('post', '/v1/keys/verify', token).send({ key: text });
      return (body as { code: string }).code;
    },
    count: async (table, where = 'true') => {
      const [row] = await postgres.owner.query<[{ count: string }]>(
        `SELECT count(*) FROM keys.${table} WHERE ${where}`,
      );
      return Number(row.count);
    },
  };
}

/** The least that a key needs. */
export function keyBody() {
  return {
    name: 'nightly job',
    consumer: 'service-b',
    grants: [{ service: 'service-a', scopes: ['reports:read'] }],
  };
}

/** Parts of a problem answer that tests look at. */
export function problemIn(answer: { status: number; body: unknown }) {
  const body = answer.body as { code: string; errors?: { pointer: string }[] };
  return {
    status: answer.status,
    code: body.code,
    ...(body.errors && { pointers: [...new Set(body.errors.map((one) => one.pointer))] }),
  };
}
