import { createHash, createHmac, pbkdf2Sync, randomBytes, scryptSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import * as argon2 from 'argon2';
import { hashSync } from 'bcryptjs';
import type { Pool } from 'pg';
import type {
  ImportedKeys,
  ImportPage,
  Key,
  KeyImport,
  ParityReport,
  Problem,
  RotatedKey,
  Verdict,
  VerifyBody,
} from '#contracts';
import { makeKeyText } from '#key-core';
import { PATIENCE_MS } from '../../../../test/support/patience.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { problemIn, seed, type Seed } from '../testing/seed.js';
import { LOOKUP_POOL, RULES_POOL } from './lookup-pool.js';
import { SlowPool } from './slow-pool.js';
import { foreignText, importerOf, itemOf, SALTED, sha256 } from './testing.js';

let replicas: Replicas;
let seeded: Seed;
let importKeys: ReturnType<typeof importerOf>;

beforeAll(async () => {
  replicas = await startReplicas(2);
  seeded = await seed(replicas);
  importKeys = importerOf(replicas, seeded.admin);
});

afterAll(() => replicas?.stop());

const sql = <T>(text: string, values: unknown[] = []): Promise<T[]> =>
  replicas.postgres.owner.query<T[]>(text, values);
/** Asked again, a minute at most, where nobody can decide in time, as of slow hashes on a machine that is busy with everything else. */
const verdictOn = async (body: VerifyBody, replica = 0): Promise<Verdict> => {
  for (const endMs = performance.now() + PATIENCE_MS; ;) {
    const { status, body: verdict } = await replicas.ask(replica, body);
    if (status === 200) return verdict;
    if (status !== 503 || performance.now() > endMs)
      throw new Error(`No verdict: ${status} ${JSON.stringify(verdict)}`);
  }
};
const codeOf = async (key: string, replica = 0): Promise<string> =>
  (await verdictOn({ key }, replica)).code;
const upgradesOf = (keyId: string) =>
  seeded.count('change_log', `target_id = '${keyId}' AND action = 'key.hash_upgraded'`);
/** The upgrade is made behind the answer. */
const upgraded = async (keyId: string, times = 1): Promise<void> => {
  while ((await upgradesOf(keyId)) < times) await new Promise((go) => setTimeout(go, 20));
  await expect(upgradesOf(keyId)).resolves.toBe(times);
};
/** The other replica learns of an import by the change log. */
const known = async (key: string, replica: number): Promise<void> => {
  while ((await codeOf(key, replica)) !== 'VALID') await new Promise((go) => setTimeout(go, 20));
};
const post = (path: string, body: object, token = seeded.admin) =>
  replicas.call('post', path, token).send(body);

/** Whether so many wait for a row of our database before `endMs`. */
const areWaiting = async (many: number, endMs = performance.now() + PATIENCE_MS) => {
  const lookUp = `SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  while (performance.now() < endMs)
    if ((await sql<{ count: number }>(lookUp))[0]!.count >= many) return true;
  return false;
};

describe('an imported key', () => {
  const hmacKey = Buffer.alloc(32, 9);
  const salt = Buffer.from('0123456789abcdef');
  const b64 = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  const secretOf = (text: string) => text.slice(text.indexOf('.') + 1);
  const SECRET = { segment: { kind: 'after', separator: '.', count: 1 } };
  const PREFIX = { shape: { prefix: 'old_' } };
  const kinds: [string, object, (text: string) => string | Promise<string>][] = [
    ['sha256', { algorithm: 'sha256', ...PREFIX }, sha256],
    [
      'sha512-secret',
      { algorithm: 'sha512', encoding: 'base64', ...SECRET, ...PREFIX },
      (text) => createHash('sha512').update(secretOf(text)).digest('base64'),
    ],
    [
      'sha256-without',
      { algorithm: 'sha256', segment: { kind: 'without', prefix: 'old_' }, ...PREFIX },
      (text) => sha256(text.slice(4)),
    ],
    [
      'hmac-sha256',
      {
        algorithm: 'hmac-sha256',
        key: hmacKey.toString('base64'),
        encoding: 'base64url',
        ...PREFIX,
      },
      (text) => createHmac('sha256', hmacKey).update(text).digest('base64url'),
    ],
    ['bcrypt', { algorithm: 'bcrypt', ...SALTED }, (text) => hashSync(text, 8)],
    [
      'bcrypt-prehashed',
      { algorithm: 'bcrypt', preHashed: 'sha256-hex', ...SECRET, ...SALTED },
      (text) => hashSync(sha256(secretOf(text)), 8),
    ],
    [
      'argon2id',
      { algorithm: 'argon2id', ...SALTED },
      (text) => argon2.hash(text, { memoryCost: 1_024, timeCost: 1 }),
    ],
    [
      'scrypt',
      { algorithm: 'scrypt', ...SALTED },
      (text) =>
        `$scrypt$ln=10,r=8,p=1$${b64(salt)}$${b64(scryptSync(text, salt, 32, { N: 1_024 }))}`,
    ],
    [
      'pbkdf2',
      { algorithm: 'pbkdf2', ...SALTED, locator: { kind: 'start', length: 11 } },
      (text) =>
        `$pbkdf2-sha256$i=1000$${b64(salt)}$${b64(pbkdf2Sync(text, salt, 1_000, 32, 'sha256'))}`,
    ],
  ];

  it.each(kinds)(
    'by %s opens, on every replica, and has our own digest from its first use on',
    async (source, scheme, hash) => {
      const text = foreignText(`${source}1`);
      const isSalted = 'locator' in scheme;
      const isStart = source === 'pbkdf2';
      const locator = isSalted && { locator: isStart ? text.slice(0, 11) : text.split('.')[0] };
      const item = { ...itemOf(text, await hash(text)), ...locator };
      const { results } = await importKeys({
        source,
        scheme,
        items: [item],
      });
      const { keyId } = results[0]!;
      const weak = !/^(bcrypt|hmac)/.test(source);
      expect(results).toEqual([{ index: 0, item: item.item, status: 'created', keyId, weak }]);
      await expect(codeOf(`${text}x`)).resolves.toBe('NOT_FOUND');
      await expect(
        seeded.count('secret', `key_id = '${keyId}' AND pepper_version = 0`),
      ).resolves.toBe(1);

      await expect(verdictOn({ key: text, scopes: ['reports:read'] })).resolves.toEqual(
        expect.objectContaining({
          valid: true,
          code: 'VALID',
          keyId,
          secretNumber: 1,
          consumer: 'service-b',
        }),
      );
      await upgraded(keyId!);
      await expect(
        seeded.count('secret', `key_id = '${keyId}' AND pepper_version = 1`),
      ).resolves.toBe(1);
      await expect(
        seeded.count('legacy_secret', `key_id = '${keyId}' AND sealed IS NULL`),
      ).resolves.toBe(1);
      await known(text, 1);
      await expect(codeOf(text)).resolves.toBe('VALID');
      for (const wrong of [`${text}x`, text.slice(0, -1), text.replace('s3', 'S3')])
        await expect(codeOf(wrong, 1)).resolves.toBe('NOT_FOUND');
      await expect(upgradesOf(keyId!)).resolves.toBe(1);
    },
  );

  it('that many present for the first time at once is upgraded once', async () => {
    const text = foreignText('crowd');
    const { results } = await importKeys({
      source: 'bcrypt',
      scheme: { algorithm: 'bcrypt', ...SALTED },
      items: [{ ...itemOf(text, hashSync(text, 8)), locator: 'old_crowd' }],
    });
    await expect(replicas.flood(20, { key: text })).resolves.toEqual({ VALID: 20 });
    await upgraded(results[0]!.keyId!);
    const witness = foreignText('after-the-crowd');
    const { results: others } = await importKeys({ items: [itemOf(witness)] });
    for (const replica of [0, 1]) {
      await known(text, replica);
      await known(witness, replica);
    }
    await upgraded(others[0]!.keyId!);
    await expect(upgradesOf(results[0]!.keyId!)).resolves.toBe(1);
  });

  it('of more than 72 bytes never opens by what bcrypt reads of it', async () => {
    const text = `old_long.${'k'.repeat(80)}`;
    await importKeys({
      source: 'bcrypt',
      scheme: { algorithm: 'bcrypt', ...SALTED },
      items: [{ ...itemOf(text, hashSync(text, 8)), locator: 'old_long' }],
    });
    for (const tail of ['', 'x', 'k'.repeat(8)])
      await expect(codeOf(`old_long.${'k'.repeat(63)}${tail}`)).resolves.toBe('NOT_FOUND');
    await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
  });

  it('opens although its upgrade fails, and is upgraded when that works again', async () => {
    const text = foreignText('stuck');
    const { results } = await importKeys({ items: [itemOf(text)] });
    const keyId = results[0]!.keyId!;
    await sql('REVOKE INSERT ON keys.change_log FROM keyward_key_service');
    try {
      await expect(codeOf(text)).resolves.toBe('VALID');
      await expect(codeOf(text)).resolves.toBe('VALID');
      await expect(upgradesOf(keyId)).resolves.toBe(0);
    } finally {
      await sql('GRANT INSERT ON keys.change_log TO keyward_key_service');
    }
    while ((await upgradesOf(keyId)) === 0) await expect(codeOf(text)).resolves.toBe('VALID');
  });

  describe('whose upgrade nobody can write', () => {
    it('is answered all the same, then without its slow hash, and upgraded when it can be', async () => {
      const text = foreignText('late');
      const { results } = await importKeys({
        ...{ source: 'unwritten', scheme: { algorithm: 'bcrypt', ...SALTED } },
        items: [{ ...itemOf(text, hashSync(text, 8)), locator: 'old_late' }],
      });
      const pool = replicas.apps[0]!.get(SlowPool);
      const runner = replicas.postgres.owner.createQueryRunner();
      await runner.startTransaction();
      await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [results[0]!.keyId]);
      await expect(codeOf(text)).resolves.toBe('VALID');
      // had the answer waited for the upgrade, nobody would try it any more
      await expect(areWaiting(1)).resolves.toBe(true);
      const kill = () => pool.pids.forEach((pid) => process.kill(pid, 'SIGKILL'));
      const killing = setInterval(kill, 2);
      const again = await Promise.all([1, 2, 3].map(() => replicas.ask(0, { key: text })));
      clearInterval(killing);
      await expect(areWaiting(1)).resolves.toBe(true);
      await runner.rollbackTransaction();
      await runner.release();
      expect(again.map(({ body }) => body.code)).toEqual(['VALID', 'VALID', 'VALID']);
      await upgraded(results[0]!.keyId!);
    });
  });

  describe('that is rotated while its upgrade is under way', () => {
    /** @returns null where one of the two gave up before it had its turn */
    async function rotateMeanwhile(id: string) {
      const text = foreignText(id);
      const { results } = await importKeys({ items: [itemOf(text)] });
      const keyId = results[0]!.keyId!;
      const runner = replicas.postgres.owner.createQueryRunner();
      await runner.startTransaction();
      await runner.query('SELECT FROM keys.key WHERE id = $1 FOR UPDATE', [keyId]);
      const endMs = performance.now() + 2_500;
      await expect(codeOf(text)).resolves.toBe('VALID');
      const isFirst = await areWaiting(1, endMs);
      const rotating = post(`/v1/keys/${keyId}/rotate`, {}).then((answer) => answer);
      const areBoth = await areWaiting(2, endMs);
      await runner.rollbackTransaction();
      await runner.release();
      const { status, body } = await rotating;
      const isInTime = isFirst && areBoth && status !== 503;
      return isInTime ? { text, keyId, status, rotated: body as RotatedKey } : null;
    }

    it('is rotated, and upgraded', async () => {
      let tried = await rotateMeanwhile('meanwhile0');
      for (let n = 1; tried === null && n < 10; n += 1)
        tried = await rotateMeanwhile(`meanwhile${n}`);
      const { text, keyId, status, rotated } = tried!;
      expect(status).toBe(200);
      await upgraded(keyId);
      for (const key of [text, rotated.secret]) await expect(codeOf(key)).resolves.toBe('VALID');
    });
  });

  it('is disabled, rotated and revoked as any other', async () => {
    const text = foreignText('life');
    const { results } = await importKeys({ items: [itemOf(text)] });
    const path = `/v1/keys/${results[0]!.keyId}`;
    const shown = (await replicas.call('get', path, seeded.admin)).body as Key;
    expect(shown).toMatchObject({ origin: 'imported', status: 'active', expiresAt: null });
    await expect(codeOf(text)).resolves.toBe('VALID');
    await post(`${path}/disable`, {});
    await expect(codeOf(text)).resolves.toBe('DISABLED');
    await post(`${path}/enable`, {});

    const rotated = (await post(`${path}/rotate`, { overlapSeconds: 3_600 })).body as RotatedKey;
    expect(rotated.secret).toMatch(/^kw_live_/);
    await expect(codeOf(rotated.secret)).resolves.toBe('VALID');
    const old = await verdictOn({ key: text });
    expect(old).toMatchObject({ code: 'VALID', secretNumber: 1, rotation: { superseded: true } });
    await post(`${path}/rotation/finish`, {});
    await expect(codeOf(text)).resolves.toBe('SUPERSEDED');
    await expect(codeOf(rotated.secret)).resolves.toBe('VALID');
    await post(`${path}/revoke`, { reason: 'retired' });
    await expect(codeOf(rotated.secret)).resolves.toBe('REVOKED');
    await expect(codeOf(text)).resolves.toBe('REVOKED');
  });

  it('is changed on the state that was read before its first use: what nobody asked for hinders nobody', async () => {
    const text = foreignText('read-before');
    const { results } = await importKeys({ items: [itemOf(text)] });
    const path = `/v1/keys/${results[0]!.keyId}`;
    const read = async () => {
      const { headers, body } = await replicas.call('get', path, seeded.admin);
      return { tag: headers['etag']!, key: body as Key };
    };
    const change = (tag: string) =>
      replicas
        .call('patch', path, seeded.admin)
        .set('if-match', tag)
        .send({ name: `after ${tag}` });
    const refused = { status: 412, code: 'VERSION_MISMATCH' };

    const before = await read();
    await expect(codeOf(text)).resolves.toBe('VALID');
    await upgraded(before.key.id);
    const after = await read();
    const { lastUsedAt } = after.key;
    expect(after).toEqual({ tag: '"2"', key: { ...before.key, version: 2, lastUsedAt } });
    expect((await change(before.tag)).headers['etag']).toBe('"3"');
    // that was a change
    for (const tag of [before.tag, after.tag])
      expect(problemIn(await change(tag))).toEqual(refused);

    const second = foreignText('rotated-before');
    const imported = (await importKeys({ items: [itemOf(second)] })).results[0]!.keyId!;
    const other = `/v1/keys/${imported}`;
    const order = (what: string, tag: string, body: object) =>
      post(`${other}/${what}`, body).set('if-match', tag);
    const rotated = await order('rotate', '"1"', { overlapSeconds: 600 });
    expect([rotated.status, rotated.headers['etag']]).toEqual([200, '"2"']);
    await expect(codeOf(second)).resolves.toBe('VALID');
    await upgraded(imported);
    const extended = await order('rotation/extend', '"2"', { overlapSeconds: 900 });
    expect([extended.status, extended.headers['etag']]).toEqual([200, '"4"']);
    for (const tag of ['"2"', '"3"'])
      expect(problemIn(await order('rotation/finish', tag, {}))).toEqual(refused);
    expect((await order('rotation/finish', '"4"', {})).status).toBe(200);
  });

  it('lets its holder in at /v1/self, before its first use and after', async () => {
    const text = foreignText('holder');
    const { results } = await importKeys({ items: [itemOf(text)] });
    const self = (key: string) =>
      replicas.call('get', '/v1/self', null).set('x-api-key', key) as Promise<{
        status: number;
        body: Key;
      }>;
    for (const _ of ['first', 'second']) {
      const { status, body } = await self(text);
      expect([status, body.id]).toEqual([200, results[0]!.keyId]);
    }
    expect((await self(`${text}x`)).status).toBe(403);
  });

  it('of another service is not found, whatever service asks', async () => {
    const text = foreignText('apart');
    const mine = await importKeys({ items: [itemOf(text)] });
    const theirs = await importKeys({
      service: 'service-x',
      items: [{ ...itemOf(text), scopes: ['things:read'] }],
    });
    expect(theirs.results[0]!.status).toBe('created');
    await post(`/v1/keys/${mine.results[0]!.keyId}/revoke`, { reason: 'retired' });
    await expect(seeded.codeOf(text)).resolves.toBe('REVOKED');
    await expect(seeded.codeOf(text, 'service-x')).resolves.toBe('VALID');
  });

  it('is looked up anew where PostgreSQL has lost changes, as it gives their numbers again', async () => {
    const text = foreignText('lost');
    const { results } = await importKeys({ items: [itemOf(text)] });
    const keyId = results[0]!.keyId!;
    await known(text, 0);
    await upgraded(keyId);
    // what it was goes, and the number is that of another text
    await sql('DELETE FROM keys.legacy_secret WHERE key_id = $1', [keyId]);
    await sql('UPDATE keys.secret SET digest = $2 WHERE key_id = $1', [keyId, randomBytes(32)]);
    const { follower } = replicas.apps[0]!.get(Stores);
    follower.beginAnew(follower.seq);
    const noCache = { 'cache-control': 'no-cache' };
    const asked = async () => (await replicas.ask(0, { key: text }, noCache)).body.code;
    while ((await asked()) === 'VALID');
    await expect(asked()).resolves.toBe('NOT_FOUND');
  });

  it('that somebody put into the database opens nothing', async () => {
    const text = foreignText('planted');
    const real = foreignText('real');
    const { results } = await importKeys({ items: [itemOf(real), itemOf(foreignText('other'))] });
    const [target, other] = results.map((one) => one.keyId);
    await sql(
      `UPDATE keys.legacy_secret SET lookup = decode($2, 'hex'), sealed = convert_to($2, 'utf8') WHERE key_id = $1`,
      [target, sha256(text)],
    );
    await sql(
      `UPDATE keys.secret SET digest = decode($2, 'hex'), pepper_version = 1 WHERE key_id = $1`,
      [target, sha256(text)],
    );
    await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
    // nor does a hash that was sealed here for another row
    await sql(
      `UPDATE keys.legacy_secret t SET sealed = o.sealed FROM keys.legacy_secret o WHERE t.key_id = $1 AND o.key_id = $2`,
      [target, other],
    );
    await sql(
      `UPDATE keys.secret SET digest = decode(repeat('00', 32), 'hex'), pepper_version = 0 WHERE key_id = $1`,
      [target],
    );
    await expect(codeOf(foreignText('other'))).resolves.toBe('VALID');
    await expect(codeOf(real)).resolves.toBe('NOT_FOUND');
  });

  it('is kept in the database neither as text nor as the hash that came', async () => {
    const text = foreignText('hidden');
    await importKeys({ items: [itemOf(text)] });
    await codeOf(text);
    const tables = ['import', 'imported_key', 'legacy_secret', 'secret', 'key', 'change_log'];
    for (const table of tables) {
      const rows = await sql<{ row: string }>(`SELECT t::text AS row FROM keys.${table} t`);
      const all = rows.map((one) => one.row).join('\n');
      for (const form of [text, sha256(text), Buffer.from(text).toString('hex')])
        expect(all.includes(form)).toBe(false);
    }
  });
});

describe('an import', () => {
  it('sent again makes nothing twice', async () => {
    const items = ['again1', 'again2'].map((id) => itemOf(foreignText(id)));
    const first = await importKeys({ items });
    const second = await importKeys({ items: items.toReversed() });
    expect(second).toMatchObject({
      created: 0,
      unchanged: 2,
      failed: 0,
      import: { id: first.import.id },
    });
    const ids = ({ results }: ImportedKeys) => results.map((one) => one.keyId);
    expect(ids(second)).toEqual(ids(first).toReversed());
  });

  it('says of each bad item what is wrong with it, and takes the others', async () => {
    const good = itemOf(foreignText('good1'));
    const issued = await seeded.issue();
    const bad: [object | string, { code: string; pointer: string }][] = [
      [
        { ...good, item: 'b1', hash: 'zz' },
        { code: 'INVALID_REQUEST', pointer: '/hash' },
      ],
      [
        { ...good, item: 'b2', hash: sha256('b2'), consumer: 'nobody' },
        { code: 'INVALID_REQUEST', pointer: '/consumer' },
      ],
      [
        { ...good, item: 'b3', hash: sha256('b3'), scopes: ['nope:read'] },
        { code: 'POLICY_VIOLATION', pointer: '/scopes/0' },
      ],
      [
        { ...good, item: 'b4', hash: sha256('b4'), id: issued.key.id },
        { code: 'ALREADY_EXISTS', pointer: '/id' },
      ],
      [
        { ...good, item: 'b5', hash: sha256('b5'), createdBy: 'me' },
        { code: 'INVALID_REQUEST', pointer: '' },
      ],
      [
        { ...good, item: 'b6', hash: sha256('b6'), expiresAt: '2001-01-01T00:00:00Z' },
        { code: 'INVALID_REQUEST', pointer: '/expiresAt' },
      ],
      [
        { ...good, item: 'b7' },
        { code: 'ALREADY_EXISTS', pointer: '/hash' },
      ],
      [
        { ...good, item: 'b8', hash: sha256('b8'), locator: 'x' },
        { code: 'INVALID_REQUEST', pointer: '/locator' },
      ],
      [
        { ...good, name: 'not the same' },
        { code: 'CONFLICT', pointer: '/item' },
      ],
    ];
    const last = itemOf(foreignText('good2'));
    const done = await importKeys({ items: [good, ...bad.map(([item]) => item as object), last] });
    expect(done).toMatchObject({ created: 2, unchanged: 0, failed: bad.length });
    const faults = done.results
      .slice(1, -1)
      .map(({ error }) => ({ code: error!.code, pointer: error!.pointer }));
    expect(faults).toEqual(bad.map(([, fault]) => fault));
    await expect(codeOf(foreignText('good1'))).resolves.toBe('VALID');
    await expect(codeOf(foreignText('good2'))).resolves.toBe('VALID');
  });

  it('takes words that are kept already though none such may be written anew', async () => {
    const name = '\u200b\u{1f3f4}\u{e0067}\u{e007f}\u202e';
    const words = { name, tags: ['\u3164'], metadata: { n: 9007199254740992 } };
    const item = { ...itemOf(foreignText('words')), ...words, ipAllowlist: ['127.0.0.1/8'] };
    const { results } = await importKeys({ source: 'words', items: [item] });
    expect(results).toMatchObject([{ status: 'created' }]);
    const { body } = await replicas.call('get', `/v1/keys/${results[0]!.keyId}`, seeded.admin);
    expect(body).toMatchObject(words);
    await expect(
      verdictOn({ key: foreignText('words'), clientIp: '127.9.9.9' }),
    ).resolves.toMatchObject({ code: 'VALID' });
  });

  it('takes a thousand keys of 8 MiB in one call, one of them bad, and no more', async () => {
    const items = Array.from({ length: 1_000 }, (_, i) => ({
      ...itemOf(foreignText(`bulk${i}`)),
      item: `bulk-${i}`,
      metadata: { note: 'x'.repeat(7_500) },
    }));
    items[500]!.hash = 'bad';
    const done = await importKeys({ source: 'bulk', items });
    expect(done).toMatchObject({ created: 999, failed: 1, import: { counts: { keys: 999 } } });
    expect(done.results[500]).toMatchObject({ status: 'failed', item: 'bulk-500' });
    await expect(codeOf(foreignText('bulk999'))).resolves.toBe('VALID');
    const body = { service: 'service-a', scheme: { algorithm: 'sha256' } };
    const more = await post('/v1/imports', { ...body, items: Array(1_001).fill({}) });
    expect(problemIn(more)).toEqual({ status: 400, code: 'INVALID_REQUEST', pointers: ['/items'] });
    const huge = await post('/v1/imports', {
      ...body,
      items: [{ note: 'x'.repeat(9 * 1_024 * 1_024) }],
    });
    expect(problemIn(huge)).toEqual({ status: 413, code: 'BODY_TOO_LARGE' });
    expect((huge.body as { detail: string }).detail).toBe('Send at most 8 MiB as the body');
  });

  it('takes at most five keys of one locator', async () => {
    const items = Array.from({ length: 6 }, (_, i) => ({
      ...itemOf(`old_same.${i}`, hashSync(`old_same.secret${i}`, 8)),
      item: `same-${i}`,
      locator: 'old_same',
    }));
    const done = await importKeys({
      source: 'bcrypt',
      scheme: { algorithm: 'bcrypt', ...SALTED },
      items,
    });
    expect(done.results.map((one) => one.status)).toEqual([...Array(5).fill('created'), 'failed']);
    await expect(codeOf('old_same.secret4')).resolves.toBe('VALID');
  });

  it('flags a fast hash of a secret that may be guessed, and counts it', async () => {
    const items = [
      { ...itemOf(foreignText('weak')), item: 'weak' },
      { ...itemOf(foreignText('strong')), item: 'strong', entropyBits: 128 },
    ];
    const done = await importKeys({ source: 'mixed', items });
    expect(done.results.map((one) => one.weak)).toEqual([true, false]);
    expect(done.import.counts).toEqual({ keys: 2, upgraded: 0, weak: 1, revoked: 0 });
    const dropped = await post('/v1/keys/revoke', {
      filter: { import: done.import.id, weak: true },
      reason: 'policy',
    });
    expect(dropped.body).toMatchObject({
      matched: 1,
      revoked: 1,
      keyIds: [done.results[0]!.keyId],
    });
    await expect(codeOf(foreignText('weak'))).resolves.toBe('REVOKED');
    await expect(codeOf(foreignText('strong'))).resolves.toBe('VALID');
  });

  it.each([
    ['argon2id', (m: number) => `$argon2id$v=19$m=${m},t=1,p=1`, [65_537, 65_536, 8_192]],
    ['scrypt', (ln: number) => `$scrypt$ln=${ln},r=8,p=1`, [18, 17, 14]],
    ['pbkdf2', (i: number) => `$pbkdf2-sha256$i=${i}`, [2_000_001, 2_000_000, 149_999]],
    ['bcrypt', (cost: number) => `$2b$${cost}`, [15, 14]],
  ] as const)(
    'of %s refuses the hash that is too dear, takes those beside it, and flags one that is cheap',
    async (algorithm, costing, costs) => {
      const rest = algorithm === 'bcrypt' ? '.'.repeat(53) : `${'A'.repeat(22)}$${'A'.repeat(43)}`;
      const items = [costs[1], ...costs].map((cost, i) => ({
        ...itemOf(`dear_${i}`, `${costing(cost)}$${rest}`),
        ...{ item: `dear-${algorithm}-${i}`, locator: `dear_${algorithm}${i}` },
      }));
      const scheme = { algorithm, locator: { kind: 'start', length: 16 } };
      const shape = { prefix: 'dear_' };
      const { results } = await importKeys({
        source: `dear-${algorithm}`,
        scheme: { ...scheme, shape },
        items,
      });
      expect(results.map(({ status, weak }) => [status, weak])).toEqual([
        ['created', false],
        ['failed', undefined],
        ['created', false],
        ...(costs.length > 2 ? [['created', true]] : []),
      ]);
      expect(results[1]!.error).toMatchObject({ code: 'INVALID_REQUEST', pointer: '/hash' });
    },
  );

  it('gives a key the new secret that it was given at its source, and ends the one before', async () => {
    const [first, second] = [foreignText('turn1'), foreignText('turn2')];
    const { results } = await importKeys({ items: [itemOf(first)] });
    const id = results[0]!.keyId!;
    await expect(codeOf(first)).resolves.toBe('VALID');
    const turn = (text: string, untilMs: number) => {
      const until = new Date(untilMs).toISOString();
      return importKeys({ items: [{ ...itemOf(text), item: 'turn', id, supersedes: { until } }] });
    };
    const inAnHour = Date.now() + 3_600_000;
    expect(await turn(second, inAnHour)).toMatchObject({ created: 0, rotated: 1, failed: 0 });
    await expect(verdictOn({ key: first })).resolves.toMatchObject({
      ...{ code: 'VALID', secretNumber: 1, rotation: { superseded: true } },
    });
    await expect(verdictOn({ key: second })).resolves.toMatchObject({
      ...{ code: 'VALID', secretNumber: 2, keyId: id },
    });
    await upgraded(id, 2);
    expect(await turn(second, inAnHour)).toMatchObject({ unchanged: 1, rotated: 0 });
    expect(await turn(foreignText('turn3'), Date.now() - 1_000)).toMatchObject({ rotated: 1 });
    await expect(codeOf(first)).resolves.toBe('NOT_FOUND');
    await expect(codeOf(second)).resolves.toBe('SUPERSEDED');
    await expect(codeOf(foreignText('turn3'))).resolves.toBe('VALID');
  });

  it('brings no earlier secret back where the word of it comes late, or again', async () => {
    const texts = ['late1', 'late2', 'late3', 'late4'].map(foreignText);
    const { results } = await importKeys({ items: [itemOf(texts[0]!)] });
    const id = results[0]!.keyId!;
    const turn = (number: number) => {
      const supersedes = { until: new Date(Date.now() + 3_600_000).toISOString(), number };
      return importKeys({
        items: [{ ...itemOf(texts[number - 1]!), item: 'late', id, supersedes }],
      });
    };
    expect(await turn(3)).toMatchObject({ rotated: 1 });
    const error = { code: 'CONFLICT', pointer: '/supersedes/number' };
    expect(await turn(2)).toMatchObject({ rotated: 0, failed: 1, results: [{ error }] });
    await expect(codeOf(texts[1]!)).resolves.toBe('NOT_FOUND');
    // the platform's own secret is later than what its source had
    await post(`/v1/keys/${id}/rotation/finish`, {});
    const rotated = (await post(`/v1/keys/${id}/rotate`, {})).body as RotatedKey;
    expect(await turn(2)).toMatchObject({ failed: 1 });
    await expect(codeOf(rotated.secret)).resolves.toBe('VALID');
    expect(await turn(4)).toMatchObject({ rotated: 1 });
    expect(await turn(3)).toMatchObject({ failed: 1 });
    await expect(codeOf(texts[3]!)).resolves.toBe('VALID');
  });

  it('wants the number of a secret once it has been told one, whatever became of that secret since', async () => {
    const texts = ['told1', 'told2', 'told3'].map(foreignText);
    const { results } = await importKeys({ items: [itemOf(texts[0]!)] });
    const id = results[0]!.keyId!;
    const turn = (text: string, number?: number) => {
      const supersedes = { until: new Date(Date.now() + 3_600_000).toISOString(), number };
      return importKeys({ items: [{ ...itemOf(text), item: 'told', id, supersedes }] });
    };
    // of a source that counts no secrets none is known to be the later one
    expect(await turn(texts[1]!)).toMatchObject({ rotated: 1 });
    expect(await turn(texts[2]!, 3)).toMatchObject({ rotated: 1 });
    const error = {
      code: 'CONFLICT',
      pointer: '/supersedes/number',
      detail: 'Give number: the key has secret 3 of its source, and only a later one is taken',
    };
    expect(await turn(texts[0]!)).toMatchObject({ failed: 1, results: [{ error }] });
    // the same again says nothing new
    expect(await turn(texts[2]!)).toMatchObject({ unchanged: 1 });
    for (const _ of [1, 2]) {
      await post(`/v1/keys/${id}/rotation/finish`, {});
      expect((await post(`/v1/keys/${id}/rotate`, {})).status).toBe(200);
    }
    expect(await turn(texts[2]!)).toMatchObject({ failed: 1, results: [{ error }] });
    expect(await turn(texts[2]!, 3)).toMatchObject({ failed: 1 });
    await expect(codeOf(texts[2]!)).resolves.toBe('NOT_FOUND');
    expect(await turn(foreignText('told4'), 4)).toMatchObject({ rotated: 1 });
  });

  it('of new secrets alone, for keys that came from elsewhere, knows them', async () => {
    const issued = await seeded.issue();
    const text = foreignText('elsewhere');
    const supersedes = { until: new Date(Date.now() + 3_600_000).toISOString(), number: 2 };
    const items = [{ ...itemOf(text), id: issued.key.id, supersedes }];
    const bad = items.map((one) => ({ ...one, hash: 'bad' }));
    expect(await importKeys({ source: 'elsewhere', items: bad })).toMatchObject({ failed: 1 });
    const done = await importKeys({ source: 'elsewhere', items });
    expect(done).toMatchObject({ rotated: 1, failed: 0 });
    await expect(codeOf(text)).resolves.toBe('VALID');
    await known(text, 1);
    // its scheme is that of the secret that it gave
    const moved = await post('/v1/imports', {
      ...{ service: 'service-a', source: 'elsewhere', scheme: { algorithm: 'sha512' }, items: bad },
    });
    expect(problemIn(moved)).toEqual({ status: 409, code: 'CONFLICT' });
  });

  it('brings no key back by a new secret, and changes none that is not of its service alone', async () => {
    const until = new Date(Date.now() + 3_600_000).toISOString();
    const { results } = await importKeys({ items: [itemOf(foreignText('over'))] });
    const ended = results[0]!.keyId!;
    await post(`/v1/keys/${ended}/revoke`, { reason: 'leaked' });
    const shared = await seeded.issue({
      grants: ['service-a', 'service-x'].map((service) => ({
        ...{ service, scopes: [service === 'service-a' ? 'reports:read' : 'things:read'] },
      })),
    });
    const items = [ended, shared.key.id, 'key_0000000000000000'].map((id) => ({
      ...itemOf(foreignText(id)),
      ...{ item: id, id, supersedes: { until } },
    }));
    const done = await importKeys({ items });
    expect(done.results.map((one) => one.error?.code)).toEqual([
      ...['CONFLICT', 'CONFLICT', 'INVALID_REQUEST'],
    ]);
    await expect(codeOf(foreignText(ended))).resolves.toBe('NOT_FOUND');
    await expect(codeOf(shared.secret)).resolves.toBe('VALID');
  });

  it('is not for who may not touch its service', async () => {
    const limited = await replicas.issuer.person('usr_limited', { services: ['service-x'] });
    const auditor = await replicas.issuer.person('usr_auditor', { roles: ['auditor'] });
    const body = { service: 'service-a', scheme: { algorithm: 'sha256' }, items: [{}] };
    expect(problemIn(await post('/v1/imports', body, limited))).toMatchObject({
      status: 400,
      pointers: ['/service'],
    });
    expect(problemIn(await post('/v1/imports', body, auditor))).toMatchObject({ status: 403 });
    const { import: mine } = await importKeys({ items: [itemOf(foreignText('seen'))] });
    for (const path of [`/v1/imports/${mine.id}`, `/v1/imports/${mine.id}/parity`])
      expect((await replicas.call('get', path, limited)).status).toBe(404);
    expect(
      (await replicas.call('patch', `/v1/imports/${mine.id}`, limited).send({ mode: 'cutover' }))
        .status,
    ).toBe(404);
    expect((await replicas.call('get', '/v1/imports', limited)).body).toMatchObject({
      data: [{ service: 'service-x' }],
    });
    expect((await replicas.call('get', `/v1/imports/${mine.id}`, auditor)).body).toMatchObject({
      id: mine.id,
    });
  });

  it('is listed after the older ones, page by page, under a cursor that opens its own list only', async () => {
    const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
    const service = 'service-paged';
    const importOne = async (source: string): Promise<string> => {
      const items = [{ ...itemOf(foreignText(source)), scopes: ['t:read'] }];
      const { body } = await post('/v1/imports', { service, source, scheme, items });
      return (body as ImportedKeys).import.id;
    };
    const list = (query: string, token = seeded.admin) =>
      replicas.call('get', `/v1/imports?${query}`, token);
    const page = async (query: string) => (await list(query)).body as ImportPage;
    const idsOf = ({ data }: ImportPage) => data.map((one) => one.id);
    await post('/v1/services', { slug: service, scopes: ['t:read'] });
    const ids: string[] = [];
    for (const source of ['one', 'two', 'three', 'four']) ids.push(await importOne(source));
    // two of the same moment follow each other by their ids
    await sql(
      `UPDATE keys.import SET created_at = '2026-01-02T03:04:05.678901Z' WHERE service = $1 AND source <> 'four'`,
      [service],
    );
    ids.splice(0, 3, ...ids.slice(0, 3).toSorted());

    const query = `service=${service}&limit=2`;
    const first = await page(query);
    expect(idsOf(first)).toEqual(ids.slice(0, 2));
    expect(first.data[1]!.counts).toEqual({ keys: 1, upgraded: 0, weak: 1, revoked: 0 });
    const second = await page(`${query}&cursor=${first.nextCursor}`);
    expect([idsOf(second), second.nextCursor]).toEqual([ids.slice(2), null]);
    ids.push(await importOne('five'));
    const longer = await page(`${query}&cursor=${first.nextCursor}`);
    const third = await page(`${query}&cursor=${longer.nextCursor}`);
    expect([idsOf(longer), idsOf(third), third.nextCursor]).toEqual([
      ...[ids.slice(2, 4), ids.slice(4), null],
    ]);

    const cursor = first.nextCursor!;
    const other = await replicas.issuer.person('usr_other');
    for (const refused of [
      await list(`${query}&cursor=${cursor}`, other),
      await list(`service=service-a&cursor=${cursor}`),
      await list(`cursor=${cursor}`),
      await list(`${query}&cursor=${cursor}00`),
      await replicas.call('get', `/v1/services?cursor=${cursor}`, seeded.admin),
    ])
      expect(problemIn(refused)).toEqual({ status: 400, code: 'INVALID_CURSOR' });
    for (const limit of ['0', '201', '-1', '1e2'])
      expect(problemIn(await list(`limit=${limit}`))).toMatchObject({
        ...{ status: 400, code: 'INVALID_REQUEST' },
      });
  });

  it('is made once under an Idempotency-Key, which is good for no other body', async () => {
    const body = (name: string) => ({
      service: 'service-a',
      source: 'repeated',
      scheme: { algorithm: 'sha256', shape: { prefix: 'old_' } },
      items: [itemOf(foreignText(name))],
    });
    const send = (name: string) =>
      post('/v1/imports', body(name)).set('idempotency-key', 'import-once');
    const first = await send('repeated');
    expect(first.body).toMatchObject({ created: 1, unchanged: 0 });
    const second = await send('repeated');
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(second.body).toEqual(first.body);
    expect(problemIn(await send('another'))).toEqual({
      status: 422,
      code: 'IDEMPOTENCY_KEY_REUSED',
    });
  });

  it('is known at once for texts that were none just before', async () => {
    for (const id of ['just1', 'just2', 'just3']) {
      const text = foreignText(id);
      await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
      await importKeys({ items: [itemOf(text)] });
      await expect(codeOf(text)).resolves.toBe('VALID');
    }
  });

  it('is known at every replica for texts that were none there, however long that is remembered', async () => {
    const [first, text] = [foreignText('far0'), foreignText('far1')];
    await importKeys({ items: [itemOf(first)] });
    await known(first, 1);
    const material = replicas.apps[1]!.get<KeyMaterial>(KEY_MATERIAL);
    const { now } = material;
    const standing = now();
    // what is remembered until a later time is remembered for good
    material.now = () => standing;
    try {
      await expect(codeOf(text, 1)).resolves.toBe('NOT_FOUND');
      await importKeys({ items: [itemOf(text)] });
      const endMs = performance.now() + PATIENCE_MS;
      let code = '';
      while (code !== 'VALID' && performance.now() < endMs) code = await codeOf(text, 1);
      expect(code).toBe('VALID');
    } finally {
      material.now = now;
    }
  });

  it('keeps the scheme that its source was begun with', async () => {
    const items = [itemOf(foreignText('scheme'))];
    const body = { service: 'service-a', scheme: { algorithm: 'sha512' }, items };
    expect(problemIn(await post('/v1/imports', body))).toEqual({ status: 409, code: 'CONFLICT' });
  });

  it('takes another scheme as long as all its items have failed', async () => {
    const text = foreignText('second-thoughts');
    const shape = { prefix: 'old_' };
    const body = { source: 'second-thoughts', items: [itemOf(text)] };
    const wrong = await importKeys({ ...body, scheme: { algorithm: 'sha512', shape } });
    expect(wrong).toMatchObject({ created: 0, failed: 1, import: { algorithm: 'sha512' } });
    const right = await importKeys({ ...body, scheme: { algorithm: 'sha256', shape } });
    expect(right).toMatchObject({ created: 1, import: { algorithm: 'sha256' } });
    expect(right.import.id).toBe(wrong.import.id);
    await known(text, 0);
    await known(text, 1);
    const third = { ...body, service: 'service-a', scheme: { algorithm: 'sha512', shape } };
    expect(problemIn(await post('/v1/imports', third))).toEqual({ status: 409, code: 'CONFLICT' });
  });
});

describe('the side that counts', () => {
  const move = async (id: string, mode: string): Promise<KeyImport> =>
    (await replicas.call('patch', `/v1/imports/${id}`, seeded.admin).send({ mode }))
      .body as KeyImport;
  const stateOf = async (service: string) => {
    const token = await replicas.issuer.service(service, 'keys:verify');
    return (await replicas.call('get', '/v1/migration', token)).body as unknown;
  };

  it('is the old one in shadow: the platform answers dry runs, and changes nothing', async () => {
    const text = foreignText('shadow');
    const { results, import: made } = await importKeys({
      source: 'shadowed',
      items: [itemOf(text)],
    });
    await move(made.id, 'shadow');
    const keyId = results[0]!.keyId!;
    await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
    await expect(verdictOn({ key: text, dryRun: true })).resolves.toMatchObject({
      code: 'VALID',
      keyId,
    });
    await expect(upgradesOf(keyId)).resolves.toBe(0);
    await expect(stateOf('service-a')).resolves.toEqual({ service: 'service-a', mode: 'shadow' });

    await expect(move(made.id, 'dual')).resolves.toMatchObject({ mode: 'dual', version: 3 });
    await expect(codeOf(text)).resolves.toBe('VALID');
    await upgraded(keyId);
    await move(made.id, 'shadow');
    await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
    await move(made.id, 'cutover');
    await expect(codeOf(text)).resolves.toBe('VALID');
    await expect(stateOf('service-a')).resolves.toEqual({ service: 'service-a', mode: 'dual' });
    await expect(stateOf('service-b')).resolves.toEqual({ service: 'service-b', mode: null });
  });

  it('is the old one after it was the new one, too, for keys of our own form that were used meanwhile', async () => {
    await post('/v1/services', { slug: 'service-back', scopes: ['things:read'] });
    const token = await replicas.issuer.service('service-back', 'keys:verify');
    const ask = async (key: string, more: object = {}) =>
      (await replicas.call('post', '/v1/keys/verify', token).send({ key, ...more }))
        .body as Verdict;
    const selfOf = async (key: string) =>
      (await replicas.call('get', '/v1/self', null).set('x-api-key', key)).status;
    const { text, keyId: id } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
    const rateLimits = [{ name: 'all', limit: 9, windowSeconds: 3_600 }];
    const { import: made } = await importKeys({
      ...{ service: 'service-back', scheme: { algorithm: 'sha256' } },
      items: [{ ...itemOf(text), id, scopes: ['things:read'], rateLimits }],
    });
    const grants = [{ service: 'service-back', scopes: ['things:read'] }];
    const issued = await seeded.issue({ grants });
    for (let i = 0; i < 3; i += 1) expect((await ask(text)).code).toBe('VALID');
    await upgraded(id);
    expect(await selfOf(text)).toBe(200);

    await move(made.id, 'shadow');
    for (let i = 0; i < 3; i += 1) {
      const { decision: _, ...told } = await ask(text);
      expect(told).toEqual({ valid: false, code: 'NOT_FOUND' });
      expect((await ask(issued.secret)).code).toBe('VALID');
    }
    expect([await selfOf(text), await selfOf(issued.secret)]).toEqual([403, 200]);
    expect(await ask(text, { dryRun: true })).toMatchObject({
      ...{ code: 'VALID', keyId: id },
      rateLimits: [{ remaining: 6 }],
    });

    await move(made.id, 'dual');
    expect((await ask(text)).code).toBe('VALID');
  });

  it('is the old one for its keys alone: issued ones go on by Redis while PostgreSQL is away, where this process never saw them', async () => {
    await post('/v1/services', { slug: 'service-away', scopes: ['things:read'] });
    const token = await replicas.issuer.service('service-away', 'keys:verify');
    const authorization = `Bearer ${token}`;
    const ask = async (replica: number, key: string) =>
      (await replicas.ask(replica, { key }, { authorization })).body;
    const { text, keyId: id } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
    const { import: made } = await importKeys({
      ...{ service: 'service-away', scheme: { algorithm: 'sha256' } },
      items: [{ ...itemOf(text), id, scopes: ['things:read'] }],
    });
    const grants = [{ service: 'service-away', scopes: ['things:read'] }];
    const { secret } = await seeded.issue({ grants });
    expect((await ask(0, text)).code).toBe('VALID');
    await move(made.id, 'shadow');
    while ((await ask(1, text)).code !== 'NOT_FOUND');
    for (const [key, code] of [
      [secret, 'VALID'],
      [text, 'NOT_FOUND'],
    ] as const)
      for (let source = ''; source !== 'cache';) {
        const verdict = await ask(0, key);
        expect(verdict.code).toBe(code);
        source = verdict.decision.source;
      }
    await replicas.postgres.whileAway(async () => {
      expect(await ask(1, secret)).toMatchObject({ code: 'VALID', decision: { source: 'cache' } });
      expect((await ask(1, text)).code).not.toBe('VALID');
    });
    while ((await ask(1, secret)).code !== 'VALID');
  });

  it.each([undefined, 'shadow'] as const)(
    'is the old one where a first import says of its mode %s',
    async (mode) => {
      const service = `service-begun-${mode ?? 'so'}`;
      await post('/v1/services', { slug: service, scopes: ['things:read'] });
      const items = [{ ...itemOf(foreignText('begun')), scopes: ['things:read'] }];
      const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
      const { body } = await post('/v1/imports', { service, mode, scheme, items });
      expect(body).toMatchObject({ created: 1, import: { mode: 'shadow' } });
      await expect(stateOf(service)).resolves.toEqual({ service, mode: 'shadow' });
    },
  );

  it('stays where a service has moved to: another import begins in the mode that the service is in', async () => {
    const importOne = async (source: string): Promise<ImportedKeys> => {
      const item = { ...itemOf(foreignText(source)), scopes: ['things:read'] };
      const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
      const body = { service: 'service-moved', source, scheme, items: [item] };
      return (await post('/v1/imports', body)).body as ImportedKeys;
    };
    await post('/v1/services', { slug: 'service-moved', scopes: ['things:read'] });
    const { import: first } = await importOne('first');
    expect(first.mode).toBe('shadow');
    for (const mode of ['dual', 'cutover']) {
      await move(first.id, mode);
      for (const source of [`${mode}-1`, `${mode}-2`]) {
        const { import: next } = await importOne(source);
        expect(next.mode).toBe(mode);
        await expect(stateOf('service-moved')).resolves.toMatchObject({ mode });
        await move(next.id, 'cutover');
      }
    }
  });

  it('is moved for a whole service by one call, on or back, all of its imports or none', async () => {
    const [service, other] = ['service-whole', 'service-other'];
    const ids: string[] = [];
    for (const slug of [service, other]) await post('/v1/services', { slug, scopes: ['t:read'] });
    for (const [slug, source] of [
      [service, 'one'],
      [service, 'two'],
      [other, 'one'],
    ] as const) {
      const items = [{ ...itemOf(foreignText(`${slug}-${source}`)), scopes: ['t:read'] }];
      const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
      const { body } = await post('/v1/imports', { service: slug, source, scheme, items });
      ids.push((body as ImportedKeys).import.id);
    }
    await move(ids[1]!, 'dual');
    const moveAll = (mode: string, whose = service) =>
      post('/v1/imports/move', { service: whose, mode });
    for (const mode of ['dual', 'cutover', 'cutover', 'shadow']) {
      const { status, body } = await moveAll(mode);
      const { data } = body as { data: KeyImport[] };
      expect([status, data.map((one) => [one.id, one.mode])]).toEqual([
        200,
        [
          [ids[0], mode],
          [ids[1], mode],
        ],
      ]);
      await expect(stateOf(service)).resolves.toMatchObject({ mode });
    }
    await expect(stateOf(other)).resolves.toMatchObject({ mode: 'shadow' });
    const moves = (id: string) =>
      seeded.count('change_log', `target_id = '${id}' AND action = 'import.moved'`);
    await expect(Promise.all(ids.map(moves))).resolves.toEqual([3, 3, 0]);
    expect(problemIn(await moveAll('dual', 'service-none'))).toEqual({
      ...{ status: 404, code: 'NOT_FOUND' },
    });
    expect(problemIn(await moveAll('back'))).toMatchObject({ status: 400, pointers: ['/mode'] });
  });

  describe('is moved back,', () => {
    /** A key of our own form that every replica knows, in `dual`, with a digest of ours. */
    async function usedKey(source: string): Promise<{ text: string; importId: string }> {
      const { text, keyId: id } = makeKeyText({ prefix: 'kw', environment: 'live' }, randomBytes);
      const { import: made } = await importKeys({
        ...{ source, scheme: { algorithm: 'sha256', shape: { prefix: 'kw_' } } },
        items: [{ ...itemOf(text), item: id, id }],
      });
      for (const replica of [0, 1]) await known(text, replica);
      await upgraded(id);
      for (const replica of [0, 1]) await known(text, replica);
      return { text, importId: made.id };
    }
    const moveBack = (id: string) =>
      replicas.call('patch', `/v1/imports/${id}`, seeded.admin).send({ mode: 'shadow' });
    /** What the second replica cannot have while it is held: all connections of a pool. */
    async function holding(token: symbol, work: () => Promise<void>): Promise<void> {
      const pool = replicas.apps[1]!.get<Pool>(token, { strict: false });
      const held = [];
      while (held.length < pool.options.max) held.push(await pool.connect());
      try {
        await work();
      } finally {
        for (const one of held) one.release();
      }
    }

    it('and everybody goes by it when that is told, though look-ups have every connection for them', async () => {
      const { text, importId } = await usedKey('flooded');
      await holding(LOOKUP_POOL, async () => {
        const { status, headers } = await moveBack(importId);
        expect([status, headers['keyward-propagation']]).toEqual([200, 'confirmed']);
        for (const replica of [0, 1])
          await expect(codeOf(text, replica)).resolves.toBe('NOT_FOUND');
      });
    });

    it('and who cannot learn of it decides on no imported key, which the answer has the bound of', async () => {
      const { text, importId } = await usedKey('unheard');
      const issued = await seeded.issue();
      await holding(RULES_POOL, async () => {
        const { status, headers } = await moveBack(importId);
        expect([status, headers['keyward-propagation']]).toEqual([200, 'unconfirmed; bound=300']);
        await expect(codeOf(text)).resolves.toBe('NOT_FOUND');
        while ((await replicas.ask(1, { key: text })).status === 200);
        for (let i = 0; i < 5; i += 1)
          expect((await replicas.ask(1, { key: text })).status).toBe(503);
        await expect(codeOf(issued.secret, 1)).resolves.toBe('VALID');
      });
      while ((await replicas.ask(1, { key: text })).status !== 200);
      await expect(codeOf(text, 1)).resolves.toBe('NOT_FOUND');
    });
  });

  it('is told to guards: whatever they know of keys is void when it changes', async () => {
    const { import: made } = await importKeys({
      source: 'told',
      items: [itemOf(foreignText('told'))],
    });
    const token = await replicas.issuer.service('service-a', 'keys:verify');
    const { port } = replicas.app.getHttpServer().address() as AddressInfo;
    const stop = new AbortController();
    const feed = await fetch(`http://127.0.0.1:${port}/v1/changes`, {
      headers: { authorization: `Bearer ${token}` },
      signal: stop.signal,
    });
    await move(made.id, 'shadow');
    let told = '';
    for await (const chunk of feed.body!) {
      told += Buffer.from(chunk).toString();
      if (told.includes('event: reset')) break;
    }
    stop.abort();
    await move(made.id, 'dual');
    expect(told).toMatch(/event: reset/);
  });

  it('is not moved back by an import that is begun, nor by keys of one that had none', async () => {
    const scheme = { algorithm: 'sha256', shape: { prefix: 'old_' } };
    const importOne = (source: string, mode?: string, hash = sha256(source)) => {
      const items = [{ ...itemOf(foreignText(source), hash), scopes: ['things:read'] }];
      return post('/v1/imports', { service: 'service-kept', source, mode, scheme, items });
    };
    await post('/v1/services', { slug: 'service-kept', scopes: ['things:read'] });
    expect((await importOne('bad', 'shadow', 'zz')).body).toMatchObject({
      ...{ created: 0, failed: 1, import: { mode: 'shadow' } },
    });
    const first = (await importOne('good', 'dual')).body as ImportedKeys;
    await expect(stateOf('service-kept')).resolves.toMatchObject({ mode: 'dual' });
    await move(first.import.id, 'cutover');
    await expect(stateOf('service-kept')).resolves.toMatchObject({ mode: 'cutover' });
    for (const refused of [await importOne('late', 'shadow'), await importOne('bad', 'shadow')]) {
      expect(problemIn(refused)).toEqual({ status: 409, code: 'CONFLICT' });
      expect((refused.body as Problem).detail).toContain('POST /v1/imports/move');
      await expect(stateOf('service-kept')).resolves.toMatchObject({ mode: 'cutover' });
    }
    expect((await importOne('late', 'cutover')).body).toMatchObject({ created: 1 });
    await move(first.import.id, 'dual');
    await expect(stateOf('service-kept')).resolves.toMatchObject({ mode: 'dual' });
  });

  it('is compared with the other by what the service reports, once a batch', async () => {
    const { import: made, results } = await importKeys({ items: [itemOf(foreignText('parity'))] });
    const keyId = results[0]!.keyId!;
    const token = await replicas.issuer.service('service-a', 'keys:verify');
    const batch = {
      batchId: '5b0a7a52-5b83-4e05-9b1a-0d1f6a2f4c11',
      entries: [
        { keyId, oldCode: 'VALID', centralCode: 'VALID', count: 40 },
        { keyId, oldCode: 'VALID', centralCode: 'REVOKED', count: 2 },
        { keyId: null, oldCode: 'NOT_FOUND', centralCode: 'MALFORMED', count: 5 },
        { keyId: 'key_Central000000001', oldCode: 'NOT_FOUND', centralCode: 'VALID', count: 3 },
      ],
    };
    expect((await post('/v1/migration/parity', batch, token)).body).toEqual({ accepted: 4 });
    expect((await post('/v1/migration/parity', batch, token)).body).toEqual({ accepted: 0 });
    const { body } = await replicas.call('get', `/v1/imports/${made.id}/parity`, seeded.admin);
    const INSTANT: unknown = expect.any(String);
    const example = (keyId: string | null, [oldCode, centralCode]: string[], count: number) => ({
      ...{ keyId, oldCode, centralCode, count, lastSeenAt: INSTANT },
    });
    expect(body).toEqual({
      service: 'service-a',
      since: INSTANT,
      agree: 45,
      onlyOld: 2,
      onlyCentral: 3,
      examples: {
        agree: [
          example(keyId, ['VALID', 'VALID'], 40),
          example(null, ['NOT_FOUND', 'MALFORMED'], 5),
        ],
        onlyOld: [example(keyId, ['VALID', 'REVOKED'], 2)],
        onlyCentral: [example('key_Central000000001', ['NOT_FOUND', 'VALID'], 3)],
      },
    });
  });

  it('is not compared by limits that one side spends and the other only looks at, and anew after a move', async () => {
    const { import: made } = await importKeys({
      source: 'limited',
      items: [itemOf(foreignText('limited'))],
    });
    const entries = [
      { keyId: null, oldCode: 'RATE_LIMITED', centralCode: 'VALID', count: 7 },
      { keyId: null, oldCode: 'VALID', centralCode: 'QUOTA_EXCEEDED', count: 8 },
      { keyId: null, oldCode: 'RATE_LIMITED', centralCode: 'REVOKED', count: 9 },
    ];
    const token = await replicas.issuer.service('service-a', 'keys:verify');
    const counts = async () => {
      const { body } = await replicas.call('get', `/v1/imports/${made.id}/parity`, seeded.admin);
      const { agree, onlyOld, onlyCentral } = body as ParityReport;
      return { agree, onlyOld, onlyCentral };
    };
    await move(made.id, 'dual');
    await move(made.id, 'shadow');
    await expect(counts()).resolves.toEqual({ agree: 0, onlyOld: 0, onlyCentral: 0 });
    const batch = { batchId: '5b0a7a52-5b83-4e05-9b1a-0d1f6a2f4c12', entries };
    expect((await post('/v1/migration/parity', batch, token)).status).toBe(200);
    await expect(counts()).resolves.toEqual({ agree: 15, onlyOld: 9, onlyCentral: 0 });
    await move(made.id, 'dual');
    await expect(counts()).resolves.toEqual({ agree: 0, onlyOld: 0, onlyCentral: 0 });
  });

  it('is moved on the version that the ETag names', async () => {
    const { import: made } = await importKeys({
      source: 'tagged',
      items: [itemOf(foreignText('tagged'))],
    });
    const path = `/v1/imports/${made.id}`;
    const read = await replicas.call('get', path, seeded.admin);
    expect(read.headers['etag']).toBe('"1"');
    const moveOn = (mode: string) =>
      replicas.call('patch', path, seeded.admin).set('if-match', '"1"').send({ mode });
    const moved = await moveOn('cutover');
    expect([moved.status, moved.headers['etag']]).toEqual([200, '"2"']);
    expect(problemIn(await moveOn('shadow'))).toEqual({ status: 412, code: 'VERSION_MISMATCH' });
    expect((await replicas.call('get', path, seeded.admin)).body).toMatchObject({
      mode: 'cutover',
    });
  });
});

describe('slow hashes', () => {
  it('are guessed at a few times a second by one source, and the others go on', async () => {
    const scheme = { algorithm: 'bcrypt', ...SALTED };
    const texts = Array.from({ length: 40 }, (_, i) => foreignText(`slow${i}`));
    const hash = hashSync('something else', 8);
    const items = texts.map((text) => ({ ...itemOf(text, hash), locator: text.split('.')[0] }));
    const good = foreignText('calm');
    items.push({ ...itemOf(good, hashSync(good, 8)), locator: 'old_calm' });
    await importKeys({ source: 'bcrypt', scheme, items });
    const guesses = await Promise.all(
      texts.map((key) => replicas.ask(0, { key, clientIp: '203.0.113.9' })),
    );
    const codes = guesses.map((one) => one.body.code);
    const decided = codes.filter((_, i) => guesses[i]!.status !== 503);
    for (const code of decided) expect(['NOT_FOUND', 'RATE_LIMITED']).toContain(code);
    expect(decided).toContain('RATE_LIMITED');
    expect(codes.filter((code) => code !== 'RATE_LIMITED').length).toBeLessThanOrEqual(20);
    const busy = guesses.find((one) => one.body.code === 'RATE_LIMITED')!;
    expect(busy.body).toMatchObject({
      valid: false,
      retryAfterSeconds: 1,
      decision: { ttlSeconds: 0 },
    });
    expect(busy.body.keyId).toBeUndefined();
    await expect(verdictOn({ key: good, clientIp: '198.51.100.1' })).resolves.toMatchObject({
      code: 'VALID',
    });
    await expect(verdictOn({ key: texts[0]!, clientIp: '198.51.100.2' })).resolves.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('are neither right nor wrong where their process ends over them, and the next are compared', async () => {
    const text = foreignText('killed');
    const items = [{ ...itemOf(text, hashSync(text, 10)), locator: 'old_killed' }];
    await importKeys({ source: 'killed', scheme: { algorithm: 'bcrypt', ...SALTED }, items });
    const pool = replicas.apps[0]!.get(SlowPool);
    const killing = setInterval(() => {
      for (const pid of pool.pids) process.kill(pid, 'SIGKILL');
    }, 2);
    const { status, body } = await replicas.ask(0, { key: text });
    clearInterval(killing);
    expect({ status, code: body.code }).toEqual({ status: 503, code: 'VERIFICATION_UNAVAILABLE' });
    await expect(codeOf(text)).resolves.toBe('VALID');
  });

  it('are looked up anew once one was compared elsewhere, though too many wait here', async () => {
    const text = foreignText('away');
    const items = [{ ...itemOf(text, hashSync(text, 8)), locator: 'old_away' }];
    const scheme = { algorithm: 'bcrypt', ...SALTED };
    const { results } = await importKeys({ source: 'away', scheme, items });
    // what is not known to lead to a slow hash is looked up, and then there is nobody to compare
    const busy = () => replicas.ask(1, { key: text, clientIp: '198.51.100.3' });
    const pool = replicas.apps[1]!.get(SlowPool);
    Object.defineProperty(pool, 'isFull', { value: true, configurable: true });
    try {
      while ((await busy()).body.code !== 'RATE_LIMITED');
      await expect(busy()).resolves.toMatchObject({ body: { code: 'RATE_LIMITED' } });
      await expect(codeOf(text, 0)).resolves.toBe('VALID');
      await upgraded(results[0]!.keyId!);
      const sinceMs = performance.now();
      while ((await busy()).body.code !== 'VALID');
      // what is not told is believed for half a minute
      expect(performance.now() - sinceMs).toBeLessThan(20_000);
    } finally {
      Reflect.deleteProperty(pool, 'isFull');
    }
  });

  it('are not even looked up for a source that has no guess left', async () => {
    await post('/v1/services', { slug: 'service-slow', scopes: ['things:read'] });
    const hash = hashSync('something else', 8);
    await importKeys({
      ...{ service: 'service-slow', source: 'bcrypt' },
      scheme: { algorithm: 'bcrypt', ...SALTED },
      items: [{ ...itemOf('old_one.x', hash), scopes: ['things:read'], locator: 'old_one' }],
    });
    const token = await replicas.issuer.service('service-slow', 'keys:verify');
    const guess = async (n: number): Promise<string> => {
      const body = { key: `old_one.guess${n}`, clientIp: '203.0.113.77' };
      return ((await post('/v1/keys/verify', body, token)).body as { code: string }).code;
    };
    let guessed = 0;
    const compared: Promise<unknown>[] = [];
    /** More than there are: who is refused is told first, and nobody waits for what is compared. */
    const spend = (): Promise<unknown> => {
      const guesses = Array.from({ length: 12 }, () => guess((guessed += 1)));
      compared.push(...guesses);
      return Promise.race(guesses);
    };
    // with the table locked whoever is looked up for waits in vain
    const guessInVain = async (): Promise<string> => {
      const runner = replicas.postgres.owner.createQueryRunner();
      await runner.startTransaction();
      try {
        await runner.query('LOCK TABLE keys.legacy_secret IN ACCESS EXCLUSIVE MODE');
        return await guess((guessed += 1));
      } finally {
        await runner.rollbackTransaction();
        await runner.release();
      }
    };
    // a guess comes back every half second: it is spent again where the lock took longer
    let code = '';
    while (code !== 'RATE_LIMITED') {
      await spend();
      code = await guessInVain();
    }
    expect(code).toBe('RATE_LIMITED');
    await Promise.all(compared);
  });
});
