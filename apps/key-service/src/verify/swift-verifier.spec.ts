import type { IssuedKey, VerifyBatchAnswer, VerifyBody } from '#contracts';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';
import { Usage } from '../usage/usage.js';
import { Verifier } from './verifier.js';

let replicas: Replicas;
let seeded: Seed;
let token: string;

beforeAll(async () => {
  replicas = await startReplicas(2);
  seeded = await seed(replicas);
  token = await replicas.issuer.service('service-a', 'keys:verify');
});

afterAll(() => replicas?.stop());

const send = async (text: string): Promise<string> => {
  const answer = await replicas
    .call('post', '/v1/keys/verify', token)
    .set('content-type', 'application/json')
    .send(text);
  return answer.text;
};
const askDoor = (body: VerifyBody) => send(JSON.stringify(body));
/** No door takes a body with an escape. */
const askRoute = (body: VerifyBody) => send(JSON.stringify(body).replace('"key"', '"\\u006bey"'));

/** More than a key needs to become known, also where Redis is late now and then. */
const TRIES = 20;

/** Asks until the answer comes from memory and Redis alone. @returns how often the verifier itself was asked in the end */
async function becomeKnown(body: VerifyBody): Promise<number> {
  for (let i = 1; i < TRIES; i += 1) if ((await timesAsked(body)) === 0) return 0;
  return timesAsked(body);
}

async function timesAsked(body: VerifyBody): Promise<number> {
  const verifier = replicas.app.get(Verifier);
  const own = verifier.verify.bind(verifier);
  let asked = 0;
  verifier.verify = (question) => {
    asked += 1;
    return own(question);
  };
  try {
    await askDoor(body);
    return asked;
  } finally {
    verifier.verify = own;
  }
}

/** The first answer that is from the cache. */
async function fromCache(ask: () => Promise<string>): Promise<string> {
  let text = await ask();
  for (let i = 1; i < TRIES && !text.includes('"source":"cache"'); i += 1) text = await ask();
  return text;
}

/** A text without the numbers that change from call to call. */
const lasting = (text: string) =>
  text.replace(/"(remaining|resetSeconds|ttlSeconds|retryAfterSeconds)":\d+/g, '"$1":0');

const limit = (name: string, most = 1_000) => ({ name, limit: most, windowSeconds: 3_600 });

describe('a swift answer', () => {
  it.each([
    ['without limits', {}],
    ['with a limit', { rateLimits: [limit('hour')] }],
    ['with several', { rateLimits: [limit('a'), limit('b'), { ...limit('c'), windowSeconds: 1 }] }],
    ['that ends', { expiresAt: new Date(Date.now() + 3_600_000).toISOString() }],
    ['with metadata', { metadata: { note: 'größer, "so" \\ \u2028', n: 1.5, list: [null, {}] } }],
    ['of the test environment', { environment: 'test' }],
    [
      'for several services',
      {
        grants: [
          { service: 'service-x', scopes: ['things:read'] },
          { service: 'service-a', scopes: ['reports:read', 'reports:write'] },
        ],
      },
    ],
  ])('about a key %s is word for word that of the verifier', async (_what, over) => {
    const { secret: key } = await seeded.issue(over);
    const body = { key, scopes: ['reports:read'] };
    expect(await becomeKnown(body)).toBe(0);
    const swift = await fromCache(() => askDoor(body));
    expect(swift).toContain('"source":"cache"');
    expect(lasting(swift)).toBe(lasting(await fromCache(() => askRoute(body))));
  });

  it.each([
    ['a quota', { quota: { limit: 100 } }],
    ['a limit that a consumer shares', { rateLimits: [{ ...limit('all'), sharedBy: 'consumer' }] }],
  ])('is not given for a key with %s', async (_what, over) => {
    const { secret: key } = await seeded.issue(over);
    expect(await becomeKnown({ key })).toBe(1);
  });

  it.each([{ cost: 2 }, { dryRun: true }, { scopes: ['reports:write'] }])(
    'is not given where more is asked: %j',
    async (more) => {
      const { secret: key } = await seeded.issue();
      await becomeKnown({ key });
      expect(await becomeKnown({ key, ...more })).toBe(1);
      const asked = { key, ...more };
      const door = await fromCache(() => askDoor(asked));
      expect(lasting(door)).toBe(lasting(await fromCache(() => askRoute(asked))));
    },
  );

  it('counts and spends like any other: the limit holds to the unit, and says so in the same words', async () => {
    const { key: made, secret: key } = await seeded.issue({ rateLimits: [limit('hour', 10)] });
    const texts: string[] = [];
    for (let i = 0; i < 12; i += 1) texts.push(await askDoor({ key }));
    expect(texts.filter((text) => text.includes('"valid":true'))).toHaveLength(10);
    expect(texts[11]).toContain('"code":"RATE_LIMITED"');
    const refused = await fromCache(() => askDoor({ key }));
    expect(lasting(refused)).toBe(lasting(await fromCache(() => askRoute({ key }))));
    await replicas.app.get(Usage).flush();
    const [counted] = await replicas.postgres.owner.query<{ sum: number }[]>(
      `SELECT sum(count)::int FROM keys.usage_by_minute WHERE key_id = $1 AND code = 'VALID'`,
      [made.id],
    );
    expect(counted!.sum).toBe(10);
  });
});

describe('a key that a door knows', () => {
  const change = (id: string, path: string, body: object, via = 1) =>
    fetch(`${urlOf(via)}/v1/keys/${id}/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${seeded.admin}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const urlOf = (replica: number) => {
    const address = replicas.apps[replica]!.getHttpServer().address() as { port: number };
    return `http://127.0.0.1:${address.port}`;
  };
  const known = async (): Promise<IssuedKey> => {
    const issued = await seeded.issue();
    expect(await becomeKnown({ key: issued.secret })).toBe(0);
    return issued;
  };

  it('is dead there as soon as another replica has revoked it', async () => {
    const { key, secret } = await known();
    expect((await change(key.id, 'revoke', { reason: 'retired' })).status).toBe(200);
    expect(await askDoor({ key: secret })).toContain('"code":"REVOKED"');
  });

  it('is told as replaced as soon as another replica has rotated it, and its new secret is known in turn', async () => {
    const { key, secret } = await known();
    const rotated = (await (await change(key.id, 'rotate', {})).json()) as IssuedKey;
    expect(await askDoor({ key: secret })).toContain('"superseded":true');
    expect(await becomeKnown({ key: rotated.secret })).toBe(0);
    expect(await askDoor({ key: rotated.secret })).toContain('"secretNumber":2');
  });

  it('is judged in a batch by the record of now, each in its place', async () => {
    const kept = await known();
    const revoked = await known();
    const rotated = await known();
    const spent = await seeded.issue({ rateLimits: [limit('hour', 2)] });
    for (let i = 0; i < 3; i += 1) await askDoor({ key: spent.secret });
    expect((await change(revoked.key.id, 'revoke', { reason: 'retired' })).status).toBe(200);
    const next = (await (await change(rotated.key.id, 'rotate', {})).json()) as IssuedKey;
    const texts = [spent, revoked, kept, rotated, next, kept, revoked].map((one) => one.secret);
    const answer = await replicas
      .call('post', '/v1/keys/verify-batch', token)
      .send({ requests: [...texts, 'junk'].map((key) => ({ key })) });
    const { results } = answer.body as VerifyBatchAnswer;
    const told = results.map((one) => [one!.code, one!.secretNumber, one!.rotation?.superseded]);
    expect(told).toEqual([
      ['RATE_LIMITED', 1, undefined],
      ['REVOKED', 1, undefined],
      ['VALID', 1, undefined],
      ['VALID', 1, true],
      ['VALID', 2, undefined],
      ['VALID', 1, undefined],
      ['REVOKED', 1, undefined],
      ['MALFORMED', undefined, undefined],
    ]);
  });

  it('stays known to be good or bad for each service by itself', async () => {
    const { secret: key } = await known();
    expect(await seeded.codeOf(key, 'service-x')).toBe('NOT_FOUND');
    expect(await askDoor({ key })).toContain('"code":"VALID"');
  });
});
