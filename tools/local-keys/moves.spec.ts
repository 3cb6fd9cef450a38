import type { AddressInfo } from 'node:net';
import {
  startManagement,
  type ManagementApp,
} from '../../apps/key-service/src/testing/management-app.js';
import { seed } from '../../apps/key-service/src/testing/seed.js';
import { importsAt } from './moves.js';

let management: ManagementApp;
beforeAll(async () => {
  management = await startManagement();
  await management.app.listen(0, '127.0.0.1');
});
afterAll(() => management?.stop());

it('all imports of service-a are read, however many pages they are', async () => {
  const { admin: token } = await seed(management);
  await management.postgres.owner.query(
    `INSERT INTO keys.import (id, service, source, mode, sealed_scheme, scheme_digest, algorithm, pepper_version,
       created_at, created_by, updated_at)
     SELECT 'imp_' || lpad(n::text, 16, '0'), 'service-a', 'source-' || n, 'shadow', '', sha256(''), 'sha256', 1, now(), 'usr_admin', now()
     FROM generate_series(1, 401) n`,
  );
  const { port } = management.app.getHttpServer().address() as AddressInfo;
  const all = await importsAt({ url: `http://127.0.0.1:${port}`, token });
  const ids = Array.from({ length: 401 }, (_, i) => `imp_${String(i + 1).padStart(16, '0')}`);
  expect(all.map((one) => one.id)).toEqual(ids);
});
