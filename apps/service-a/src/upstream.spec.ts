import { z } from 'zod';
import { createStubServer, sendJson, type StubServer } from '../../../test/support/stub-server.js';
import { createUpstream } from './upstream.js';

const call = { method: 'POST', path: '/things', headers: {}, body: {} } as const;
const schema = z.object({ ok: z.literal(true) });

describe('createUpstream', () => {
  let service: StubServer;
  beforeEach(async () => {
    service = await createStubServer();
  });
  afterEach(() => service.close());

  it('stops waiting for a service that hangs', async () => {
    service.routes({ 'POST /things': () => undefined });
    const upstream = createUpstream({ name: 'It', urls: [service.url], timeoutMs: 50 });
    await expect(upstream.call(call, schema)).rejects.toMatchObject({
      errorCode: 'SERVICE_UNAVAILABLE',
    });
  });

  it('goes to the next replica where one cannot be reached, and nowhere once a request was sent', async () => {
    service.routes({ 'POST /things': (_seen, response) => sendJson(response, 200, { ok: true }) });
    const breaking = await createStubServer({
      'POST /things': (_seen, response) => void response.destroy(),
    });
    const gone = await createStubServer();
    await gone.close();
    const reach = (first: StubServer) =>
      createUpstream({ name: 'It', urls: [first.url, service.url], timeoutMs: 1_000 }).call(
        call,
        schema,
      );
    await expect(reach(gone)).resolves.toMatchObject({ data: { ok: true } });
    await expect(reach(breaking)).rejects.toMatchObject({ errorCode: 'SERVICE_UNAVAILABLE' });
    expect(service.seen).toHaveLength(1);
    await breaking.close();
  });
});
