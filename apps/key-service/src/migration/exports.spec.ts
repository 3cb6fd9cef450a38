import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { ExportKeys, IssuedKey, RotatedKey } from '#contracts';
import { newRecipient, portableDigestOfText, readExport, type ReadExport } from '#key-core';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';
import { foreignText, importerOf, itemOf } from './testing.js';

let management: ManagementApp;
let seeded: Seed;
beforeAll(async () => {
  management = await startManagement();
  seeded = await seed(management);
});
afterAll(() => management?.stop());

const recipient = newRecipient();
const fetchExport = async (service: string, token = seeded.admin): Promise<string> => {
  const answer = await management
    .call('post', '/v1/exports', token)
    .send({ service, recipientKey: recipient.publicKey })
    .buffer(true)
    .parse((stream, done) => {
      const pieces: Buffer[] = [];
      stream.on('data', (piece: Buffer) => pieces.push(piece));
      stream.on('end', () => done(null, Buffer.concat(pieces).toString()));
    });
  expect(answer.status).toBe(200);
  expect(answer.headers['content-type']).toBe('application/x-ndjson');
  return answer.body as string;
};
const signers = async (): Promise<ExportKeys> =>
  (await management.call('get', '/v1/exports/keys', null)).body as ExportKeys;
const read = async (text: string): Promise<ReadExport> =>
  readExport(text, { signers: await signers(), privateKey: recipient.privateKey });
const digestIn = ({ pepper }: ReadExport, text: string) =>
  portableDigestOfText(pepper, text).toString('base64url');

describe('an export', () => {
  let one: IssuedKey;
  let rotated: RotatedKey;
  let text: string;
  beforeAll(async () => {
    one = await seeded.issue({
      grants: [
        { service: 'service-a', scopes: ['reports:read'] },
        { service: 'service-x', scopes: ['things:read'] },
      ],
      quota: { limit: 9 },
      tags: ['t'],
      metadata: { team: 'blue' },
    });
    const path = `/v1/keys/${one.key.id}/rotate`;
    rotated = (await management.call('post', path, seeded.admin).send({})).body as RotatedKey;
    const revoked = await seeded.issue();
    await management
      .call('post', `/v1/keys/${revoked.key.id}/revoke`, seeded.admin)
      .send({ reason: 'retired' });
    const importKeys = importerOf(management, seeded.admin);
    await importKeys({ items: [itemOf(foreignText('unused')), itemOf(foreignText('used'))] });
    await seeded.codeOf(foreignText('used'));
    // a first use has its answer before the secret has a digest of our own
    while ((await seeded.count('secret', 'pepper_version = 0')) !== 1) await wait(20);
    text = await fetchExport('service-a');
  });

  it('has all that lives of one service, by which the recipient knows each key', async () => {
    const found = await read(text);
    expect(found.header).toMatchObject({ service: 'service-a', policy: { keyPrefix: 'kw' } });
    expect(found.keys).toHaveLength(3);
    const INSTANT: unknown = expect.stringMatching(/^\d{4}-.*Z$/);
    const { key } = one;
    expect(found.keys[0]).toEqual({
      ...{ type: 'key', id: key.id, name: key.name, consumer: 'service-b', environment: 'live' },
      ...{ scopes: ['reports:read'], enabled: true, notBefore: null, expiresAt: key.expiresAt },
      ...{ rateLimits: [], quota: { limit: 9 }, ipAllowlist: [], tags: ['t'] },
      ...{ metadata: { team: 'blue' }, createdAt: key.createdAt },
      secrets: [
        {
          ...{ number: 1, digest: digestIn(found, one.secret), prefix: 'kw' },
          ...{ last4: one.secret.slice(-4), createdAt: INSTANT },
          validUntil: rotated.previous.validUntil,
        },
        {
          ...{ number: 2, digest: digestIn(found, rotated.secret), prefix: 'kw' },
          ...{ last4: rotated.secret.slice(-4), createdAt: INSTANT, validUntil: null },
        },
      ],
    });
    const digests = found.keys.slice(1).map(({ secrets }) => secrets[0]!.digest);
    expect(digests).toEqual([null, digestIn(found, foreignText('used'))]);
    expect(JSON.parse(text.trimEnd().split('\n').at(-1)!)).toMatchObject({
      keys: 3,
      unportable: 1,
    });
  });

  it('holds no text of a key and no digest that the platform keeps', async () => {
    const rows = await management.postgres.owner.query<{ hex: string; portable: string | null }[]>(
      `SELECT encode(digest, 'hex') AS hex, encode(portable, 'hex') AS portable FROM keys.secret`,
    );
    const kept = rows.flatMap(({ hex, portable }) => [hex, portable ?? hex]);
    const forms = kept.flatMap((hex) => {
      const bytes = Buffer.from(hex, 'hex');
      return [hex, bytes.toString('base64'), bytes.toString('base64url')];
    });
    for (const form of [one.secret, rotated.secret, foreignText('used'), ...forms])
      expect(text.includes(form)).toBe(false);
  });

  it('is another one each time: what one recipient was given opens no other', async () => {
    const [first, second] = [await read(text), await read(await fetchExport('service-a'))];
    expect(first.pepper.equals(second.pepper)).toBe(false);
    expect(first.keys[0]!.secrets[0]!.digest).not.toBe(second.keys[0]!.secrets[0]!.digest);
  });

  it('that was cut, altered, signed by somebody else or is for another is refused', async () => {
    const lines = text.trimEnd().split('\n');
    const bad = [
      text.replace('"enabled":true', '"enabled":false'),
      [lines[0], ...lines.slice(2)].join('\n'),
      lines.slice(0, -1).join('\n'),
      [lines[0], lines[2], lines[1], ...lines.slice(3)].join('\n'),
    ];
    for (const one of bad) await expect(read(one)).rejects.toThrow('The export');
    const { keys } = await signers();
    const x = randomBytes(32).toString('base64url');
    const others = { keys: keys.map((key) => ({ ...key, x })) };
    const { privateKey } = recipient;
    expect(() => readExport(text, { signers: others, privateKey })).toThrow('not signed by');
    const stranger = newRecipient().privateKey;
    const own = await signers();
    expect(() => readExport(text, { signers: own, privateKey: stranger })).toThrow(
      'another recipient',
    );
  });

  it('of a planted digest has none', async () => {
    await management.postgres.owner.query(
      `UPDATE keys.secret SET portable = decode(repeat('ab', 70), 'hex') WHERE key_id = $1`,
      [one.key.id],
    );
    const found = await read(await fetchExport('service-a'));
    expect(found.keys[0]!.secrets.map(({ digest }) => digest)).toEqual([null, null]);
  });

  it('is in the change log, and for admins of the service only', async () => {
    await expect(seeded.count('change_log', `action = 'service.exported'`)).resolves.toBe(3);
    const limited = await management.issuer.person('usr_x', { services: ['service-x'] });
    const answer = await management
      .call('post', '/v1/exports', limited)
      .send({ service: 'service-a', recipientKey: recipient.publicKey });
    expect(answer.status).toBe(400);
  });

  it('is not for an admin who may not see all its keys', async () => {
    const admin = (services: string[]) => management.issuer.person('usr_some', { services });
    const ask = async (services: string[]) =>
      management
        .call('post', '/v1/exports', await admin(services))
        .send({ service: 'service-a', recipientKey: recipient.publicKey });
    const refused = await ask(['service-a']);
    expect(problemIn(refused)).toEqual({ status: 403, code: 'FORBIDDEN' });
    expect(refused.text).not.toContain(one.key.id);
    const both = await admin(['service-a', 'service-x']);
    expect((await read(await fetchExport('service-a', both))).keys).toHaveLength(3);
    await management.postgres.owner.query(
      `DELETE FROM keys.key_grant WHERE key_id = $1 AND service = 'service-x'`,
      [one.key.id],
    );
    expect((await ask(['service-a'])).status).toBe(200);
  });
});
