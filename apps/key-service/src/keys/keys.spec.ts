import { startManagement, type ManagementApp } from '../testing/management-app.js';

let management: ManagementApp;
let admin: string;

beforeAll(async () => {
  management = await startManagement();
  admin = await management.issuer.person('usr_admin');
}, 60_000);
afterAll(() => management.stop());

const send = (path: string, body: object, token: string | null = admin) =>
  management.call('post', path, token).send(body);

test('smoke', async () => {
  const a = await send('/v1/services', {
    slug: 'service-a',
    scopes: ['reports:read', 'reports:write'],
  });
  console.log(a.status, a.headers, a.body);
  const b = await send('/v1/consumers', { slug: 'service-b' });
  console.log(b.status, b.body);
  const c = await send('/v1/keys', {
    name: 'x',
    consumer: 'service-b',
    grants: [{ service: 'service-a', scopes: ['reports:read'] }],
  });
  console.log(c.status, c.headers, JSON.stringify(c.body, null, 1));
  const d = await send(`/v1/keys/${c.body.key?.id}/rotate`, {});
  console.log(d.status, JSON.stringify(d.body, null, 1));
  const e = await send(`/v1/keys/${c.body.key?.id}/revoke`, { reason: 'retired' });
  console.log(e.status, JSON.stringify(e.body, null, 1));
  console.log(await management.postgres.owner.query('select * from keys.change_log'));
});
