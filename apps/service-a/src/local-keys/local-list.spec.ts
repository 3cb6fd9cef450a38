import { startLocalService, type LocalService } from './testing.js';

let service: LocalService;
beforeAll(async () => {
  service = await startLocalService();
  for (const [name, expiresInSeconds] of [
    ['nightly', 600],
    ['hourly', 300],
    ['daily', 900],
  ])
    await service.call('/v1/api-keys', {
      token: service.admin,
      body: { name, consumer: 'service-b', scopes: ['reports:read'], expiresInSeconds },
    });
  await service.postgres.query(
    `UPDATE service_a.key SET state = 'disabled', environment = 'test' WHERE name = 'nightly'`,
  );
});
afterAll(() => service?.stop());

const list = (query: string) => service.call(`/v1/api-keys?${query}`, { token: service.admin });
const namesOf = async (query: string) => {
  const { data } = (await list(query)).body as { data: { name: string }[] };
  return data.map((one) => one.name);
};

it('narrows the list by status, environment, end and text, together too', async () => {
  const soon = encodeURIComponent(new Date(Date.now() + 700_000).toISOString());
  await expect(namesOf('')).resolves.toEqual(['daily', 'hourly', 'nightly']);
  await expect(namesOf('status=disabled')).resolves.toEqual(['nightly']);
  await expect(namesOf('environment=live')).resolves.toEqual(['daily', 'hourly']);
  await expect(namesOf(`expiresBefore=${soon}`)).resolves.toEqual(['hourly', 'nightly']);
  await expect(namesOf(`expiresBefore=${soon}&status=active`)).resolves.toEqual(['hourly']);
  await expect(namesOf('q=LY')).resolves.toHaveLength(3);
  await expect(namesOf('q=ight')).resolves.toEqual(['nightly']);
  await expect(namesOf('q=%25')).resolves.toEqual([]);
  await expect(namesOf('status=expired')).resolves.toEqual([]);
});

it('names the filter that it cannot know', async () => {
  const answer = await list('unusedSince=2026-01-01T00:00:00.000Z');
  expect(answer.status).toBe(400);
  expect(JSON.stringify(answer.body)).toContain('/unusedSince');
});

it('goes on by a cursor that it gave for the same question, and no other', async () => {
  const end = encodeURIComponent(new Date(Date.now() + 1_000_000).toISOString());
  for (const query of ['limit=1', `limit=1&expiresBefore=${end}`]) {
    const names = [];
    for (let cursor = ''; ;) {
      const { body } = await list(query + cursor);
      names.push(...(body['data'] as { name: string }[]).map((one) => one.name));
      if (body['nextCursor'] === null) break;
      cursor = `&cursor=${body['nextCursor'] as string}`;
    }
    expect(names.toSorted()).toEqual(['daily', 'hourly', 'nightly']);
  }
  const { nextCursor } = (await list('limit=1')).body;
  const made = Buffer.from('before:3').toString('hex');
  for (const query of [`cursor=${made}`, `cursor=${nextCursor as string}&environment=live`])
    expect((await list(query)).body).toMatchObject({ status: 400, code: 'INVALID_CURSOR' });
});
