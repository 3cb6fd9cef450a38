import {
  FIELD_CODES,
  type ChangedKey,
  type ImportedKeys,
  type IssuedKey,
  type Problem,
} from '#contracts';
import { startManagement, type ManagementApp } from '../testing/management-app.js';
import { keyBody, seed, type Seed } from '../testing/seed.js';

let management: ManagementApp;
let world: Seed;

beforeAll(async () => {
  management = await startManagement();
  world = await seed(management);
});
afterAll(() => management?.stop());

type Answer = { status: number; body: unknown };
const faults = ({ status, body }: Answer) => [
  status,
  ...((body as Problem).errors ?? []).map((one) => `${one.pointer}: ${one.detail}`),
];
const list = (query: string) => management.call('get', `/v1/keys?${query}`, world.admin);
const create = (body: object | string) =>
  management
    .call('post', '/v1/keys', world.admin)
    .set('content-type', 'application/json')
    .send(body);

describe('clumsy input is refused by its name, with what would be right', () => {
  it.each([
    ['q=%E0%A4%A', '/q: Percent-encode text in UTF-8'],
    ['limit=5&q=%zz', '/q: Percent-encode text in UTF-8'],
    ['q=a%00b', '/q: Text may not hold NUL'],
    ['q=a=%zz', '/q: Percent-encode text in UTF-8'],
    ['q=a=b=%00', '/q: Text may not hold NUL'],
  ])('a query %s', async (query, fault) => {
    expect(faults(await list(query))).toEqual([400, fault]);
  });

  it.each([
    ['/v1/keys/key_%00', '/id: Text may not hold NUL'],
    ['/v1/keys/%E0%A4%A', '/id: Percent-encode text in UTF-8'],
    ['/v1/keys/%E0%A4%A/rotation?a=b', '/id: Percent-encode text in UTF-8'],
    ['/v1/consumers/a%00', '/slug: Text may not hold NUL'],
  ])('a path %s', async (path, fault) => {
    expect(faults(await management.call('get', path, world.admin))).toEqual([400, fault]);
  });

  it('a path that is at fault where no parameter is', async () => {
    const { body } = await management.call('get', '/v1/k%00ys', world.admin);
    expect(body).toMatchObject({ status: 400, detail: 'Path: Text may not hold NUL' });
  });

  it('what is changed elsewhere than by a change, with where that is', async () => {
    const { key } = await world.issue();
    const patch = (body: object) =>
      management.call('patch', `/v1/keys/${key.id}`, world.admin).set('if-match', '"1"').send(body);
    const unknown = 'This property is not known here; leave it out';
    const elsewhere = `${unknown}; a key is stopped by POST /v1/keys/{id}/revoke or disable, and goes on by enable`;
    expect(faults(await patch({ status: 'revoked' }))).toEqual([400, `/status: ${elsewhere}`]);
    expect(faults(await patch({ enabled: false }))).toEqual([400, `/enabled: ${elsewhere}`]);
    expect(faults(await patch({ color: 1 }))).toEqual([400, `/color: ${unknown}`]);
  });

  it('what is not known, with the one that was likely meant where that is one', async () => {
    const { key } = await world.issue();
    const rotate = (body: object) =>
      management.call('post', `/v1/keys/${key.id}/rotate`, world.admin).send(body);
    const unknown = 'This property is not known here; leave it out';
    const overlap = `/overlap: ${unknown}, or did you mean overlapSeconds?`;
    expect(faults(await rotate({ overlap: 60 }))).toEqual([400, overlap]);
    const both = [400, overlap, `/colour: ${unknown}`];
    expect(faults(await rotate({ overlap: 60, colour: 'red' }))).toEqual(both);
    const grants = [{ service: 'service-a', scopes: ['reports:read'], scope: 'reports:read' }];
    const scope = `/grants/0/scope: ${unknown}, or did you mean scopes?`;
    expect(faults(await create({ ...keyBody(), grants }))).toEqual([400, scope]);
    const query = `/expires_before: ${unknown}, or did you mean expiresBefore?`;
    expect(faults(await list('expires_before=2030-01-01'))).toEqual([400, query]);
    const item = { item: '1', hash: '0', consumer: 'one', scopes: ['reports:read'] };
    const answer = await management.call('post', '/v1/imports', world.admin).send({
      service: 'service-a',
      scheme: { algorithm: 'sha256' },
      items: [{ ...item, expiresAt: null, tag: 'a' }],
    });
    const [result] = (answer.body as ImportedKeys).results;
    expect(result?.error?.detail).toBe(`${unknown}, or did you mean tags?`);
  });

  it.each(['q=100%25+%E2%82%AC', 'q=a%26token%3Dx', 'q=a%2526password%253Dx'])(
    'a query that is well encoded is none: %s',
    async (query) => {
      expect(await list(query)).toMatchObject({ status: 200 });
    },
  );

  it.each(['token=x', 'q=a&%74oken=x', 'token%3Dx', 'q=a%3Ftoken%3Dx'])(
    'a secret by the name of its parameter is one however it is encoded: %s',
    async (query) => {
      expect((await list(query)).body).toMatchObject({ code: 'KEY_IN_WRONG_PLACE' });
    },
  );

  const limit = { name: 'burst', limit: 100, windowSeconds: 60 };
  const grant = { service: 'service-a', scopes: ['reports:read'] };
  const quota = { limit: 1_000, refill: { amount: 1_000, every: 'month' } };
  it.each([
    ['deliverTo', 'x', 'an object', { provider: 'vault', path: 'keyward/service-b' }],
    ['quota', 5, 'an object', quota],
    ['quota', null, 'an object', quota],
    ['metadata', 'billing', 'an object', { team: 'billing' }],
    ['rateLimits', limit, 'a list', [limit]],
    ['grants', grant, 'a list', [grant]],
    ['ipAllowlist', '10.0.0.0/8', 'a list', ['10.0.0.0/8']],
    ['tags', 'billing', 'a list', ['billing']],
  ])('another type than that of %s: %j, with an example', async (name, wrong, noun, example) => {
    const { status, body } = await create({ ...keyBody(), [name]: wrong });
    const detail = `Use ${noun} such as ${JSON.stringify(example)}`;
    const fault = { pointer: `/${name}`, code: 'INVALID_TYPE', detail };
    expect([status, (body as Problem).errors]).toEqual([400, [fault]]);
    // the example is taken as it stands, but that there is no vault here
    const answer = await create({ ...keyBody(), [name]: example });
    const { errors = [] } = answer.body as Problem;
    expect(errors.map((one) => one.pointer)).toEqual(
      name === 'deliverTo' ? ['/deliverTo/provider'] : [],
    );
  });

  it.each([
    ['rateLimits', [100], limit],
    ['grants', ['reports:read'], grant],
  ])('another type than that of an item of %s, with an example', async (name, wrong, example) => {
    const fault = `/${name}/0: Use an object such as ${JSON.stringify(example)}`;
    expect(faults(await create({ ...keyBody(), [name]: wrong }))).toEqual([400, fault]);
  });

  it('a null for how long a key lives, with how one that never ends is made', async () => {
    expect(faults(await create({ ...keyBody(), expiresInSeconds: null }))).toEqual([
      400,
      '/expiresInSeconds: Use a whole number; a key that never ends has "expiresAt": null instead',
    ]);
    expect(await create({ ...keyBody(), expiresAt: null })).toMatchObject({
      status: 201,
      body: { key: { expiresAt: null } },
    });
  });

  it('an end that is too far, with the latest one there is, however far', async () => {
    for (const year of ['2150', '2201', '9999']) {
      const { status, body } = await create({ ...keyBody(), expiresAt: `${year}-01-01T00:00:00Z` });
      const { code, detail } = body as Problem;
      const latest = /^\/expiresAt: Use a time after now, \S+Z, at the latest (\S+Z)$/.exec(
        detail,
      )?.[1];
      expect([status, code]).toEqual([400, 'POLICY_VIOLATION']);
      expect(await create({ ...keyBody(), expiresAt: latest })).toMatchObject({ status: 201 });
    }
  });

  it('the letters of a time may be lower-case (RFC 3339, section 5.6)', async () => {
    const year = new Date().getUTCFullYear() + 1;
    for (const end of ['z', '+00:00']) {
      const expiresAt = `${year}-01-31t12:00:00${end}`;
      const { status, body } = await create({ ...keyBody(), expiresAt });
      expect([status, (body as IssuedKey).key.expiresAt]).toEqual([
        201,
        `${year}-01-31T12:00:00.000Z`,
      ]);
    }
    expect(await list(`expiresBefore=${year}-01-31t12:00:00z`)).toMatchObject({ status: 200 });
  });

  it.each([
    [{ name: undefined }, '/name', 'INVALID_TYPE'],
    [{ name: 5 }, '/name', 'INVALID_TYPE'],
    [{ name: 'a\nb' }, '/name', 'INVALID_FORMAT'],
    [{ name: 'a\0b' }, '/name', 'INVALID_VALUE'],
    [{ environment: 'prod' }, '/environment', 'INVALID_VALUE'],
    [{ tags: ['a', 'a'] }, '/tags', 'INVALID_VALUE'],
    [{ tags: Array(21).fill('a') }, '/tags', 'TOO_BIG'],
    [{ expiresInSeconds: 0 }, '/expiresInSeconds', 'TOO_SMALL'],
    [{ expiresAt: '2001-01-01T00:00:00Z' }, '/expiresAt', 'INVALID_VALUE'],
    [{ expiresAt: '2150-01-01T00:00:00Z' }, '/expiresAt', 'POLICY_VIOLATION'],
    [{ consumer: 'nobody' }, '/consumer', 'INVALID_VALUE'],
    [{ grants: [{ service: 'nothing', scopes: ['a'] }] }, '/grants/0/service', 'INVALID_VALUE'],
    [{ colour: 'red' }, '/colour', 'UNKNOWN_PROPERTY'],
    [
      { metadata: { k: `kw_live_${'a'.repeat(16)}_${'B'.repeat(49)}` } },
      '/metadata/k',
      'KEY_IN_WRONG_PLACE',
    ],
  ] as [object, string, string][])(
    'each fault has a code of a small set, one word for one thing: %j',
    async (part, pointer, code) => {
      const { errors } = (await create({ ...keyBody(), ...part })).body as Problem;
      expect(errors).toEqual([{ pointer, code, detail: expect.any(String) }]);
      expect(FIELD_CODES).toContain(code);
    },
  );

  it('as are those of what is no object, of a parameter and of a body that nobody reads', async () => {
    const { key } = await world.issue();
    const post = (path: string, body: string) =>
      management.call('post', path, world.admin).set('content-type', 'application/json').send(body);
    const answers = [
      await create('"a\\u0000"'),
      await create('{"name":"a","name":"b"}'),
      await list('limit=1&limit=2'),
      await list('q=a%00b'),
      await post(`/v1/keys/${key.id}/disable`, '{"a":1}'),
    ];
    expect(
      answers.map(({ body }) => (body as Problem).errors?.map((one) => [one.pointer, one.code])),
    ).toEqual([
      [['', 'INVALID_VALUE']],
      [['/name', 'INVALID_VALUE']],
      [['/limit', 'INVALID_VALUE']],
      [['/q', 'INVALID_VALUE']],
      [['', 'INVALID_VALUE']],
    ]);
  });

  it('a property that is named twice, at any depth, before it is known which one counts', async () => {
    const twice = JSON.stringify(keyBody()).replace('{', '{"name":"one",');
    expect(faults(await create(twice))).toEqual([400, '/name: Name this property once']);
    const inner = JSON.stringify(keyBody()).replace(
      '"scopes"',
      '"scopes":["reports:delete"],"scopes"',
    );
    expect(faults(await create(inner))).toEqual([400, '/grants/0/scopes: Name this property once']);
  });

  const turned =
    'Leave out control characters, those that turn the direction of text or hide text in it, and line breaks';
  it.each([
    ['turns the direction of the text around it', 'pdf\u202eexe', turned],
    ['does so apart', 'a\u2066b', turned],
    ['hides text in tags', 'key\u{e0041}\u{e0042}', turned],
    ['hides text in variants of what has none', 'key\u{e0154}\u{e0155}', turned],
    ['hides text in a run of variants', '葛\u{e0100}\u{e0154}城', turned],
    ['hides text in signs that nobody sees', 'k\u2061e\u2062y\u2064', turned],
    ['looks blank: spaces', '\u00a0\u3000\u2003', 'Use at least one visible character'],
    ['looks blank: no width', '\u200b\u200d\u2060\ufeff', 'Use at least one visible character'],
    ['looks blank: marks', '\u00ad\u180e\u200f\ufe0f', 'Use at least one visible character'],
    ['looks blank: fillers', '\u3164\u115f\u2800', 'Use at least one visible character'],
  ])('a name that %s', async (_, name, detail) => {
    expect(faults(await create({ ...keyBody(), name }))).toEqual([400, `/name: ${detail}`]);
  });

  it('a reason that looks blank, a remark with tags, a tag of fillers', async () => {
    const { key } = await world.issue();
    const revoke = (body: object) =>
      management.call('post', `/v1/keys/${key.id}/revoke`, world.admin).send(body);
    expect(faults(await revoke({ reason: '\u200b' }))).toEqual([
      400,
      '/reason: Use at least one visible character',
    ]);
    for (const comment of ['see\u{e0041}', 'see\u{e0154}', 'see\u2063'])
      expect(faults(await revoke({ reason: 'leaked', comment }))).toEqual([
        400,
        '/comment: Leave out control characters, also those that turn the direction of text or hide text in it',
      ]);
    expect(faults(await create({ ...keyBody(), tags: ['\u3164'] }))).toEqual([
      400,
      '/tags/0: Use 1 to 64 letters, digits or . _ : / -',
    ]);
  });

  it.each([
    ['from right to left', 'مفتاح المستودع\u200f 2'],
    ['with a parted word', 'کلید می\u200cشود'],
    ['with a joined letter', 'क्\u200dष'],
    ['with a variant of an ideograph', '葛\u{e0100}城'],
    ['with a coloured sign', '\u2764\ufe0f'],
    ['of one emoji', '\u{1f469}\u200d\u{1f4bb}'],
  ])('a name %s is none', async (_, name) => {
    expect((await create({ ...keyBody(), name })).body).toMatchObject({ key: { name } });
  });

  it.each([
    [{ expiresInSeconds: 1e300 }, '/expiresInSeconds: Use at most 315360000'],
    [{ expiresInSeconds: -1e300 }, '/expiresInSeconds: Use at least 1'],
    [{ grants: [] }, '/grants: Use at least 1 item'],
    [{ grants: [{ service: 'service-a', scopes: [] }] }, '/grants/0/scopes: Use at least 1 item'],
    [{ metadata: { '': 1 } }, '/metadata/: Use names of 1 to 128 characters'],
    [
      { metadata: { serials: [1, 2 ** 53] } },
      '/metadata: Send whole numbers beyond 9007199254740991 as text',
    ],
    [
      { grants: [{ service: 'service-a', scopes: 'reports:read' }] },
      '/grants/0/scopes: Use a list of scopes such as ["reports:read"]',
    ],
    [
      { deliverTo: { provider: 'nowhere', path: 'a/b' } },
      '/deliverTo/provider: There is no provider for this key here (DELIVERY_TARGETS)',
    ],
  ])('%j', async (part, fault) => {
    expect(faults(await create({ ...keyBody(), ...part }))).toEqual([400, fault]);
  });

  it('numbers that are held as they were sent are none', async () => {
    const metadata = { a: [2 ** 53 - 1, -1, 0.1, 1e-300], b: { c: '9007199254740993' } };
    expect((await create({ ...keyBody(), metadata })).body).toMatchObject({ key: { metadata } });
  });

  it('a filter of a bulk revocation that names nothing', async () => {
    const answer = await management
      .call('post', '/v1/keys/revoke', world.admin)
      .send({ filter: {}, reason: 'left' });
    expect(faults(answer)).toEqual([
      400,
      '/filter: Name at least one of consumer, service, tag, createdBefore, import and weak',
    ]);
  });

  it('a filter of a bulk revocation with a tag that no key can carry', async () => {
    const answer = await management
      .call('post', '/v1/keys/revoke', world.admin)
      .send({ filter: { tag: 'no such tag é' }, reason: 'leaked' });
    expect(faults(answer)).toEqual([400, '/filter/tag: Use 1 to 64 letters, digits or . _ : / -']);
  });

  it('JSON that is none, by the place where it ceases to be and nothing of what stands there', async () => {
    const { status, body } = await create('{"name": "x",\n "secret": sesame}');
    const detail =
      'Send one valid JSON value as the body; it ceases to be one at line 2, column 12';
    expect([status, body]).toEqual([
      400,
      expect.objectContaining({ code: 'INVALID_JSON', detail }),
    ]);
    expect(JSON.stringify(body)).not.toContain('sesame');
  });

  it('a member that is missing, in the same words whatever it may be', async () => {
    const { admin } = world;
    const move = management.call('post', '/v1/imports/move', admin).send({ service: 'one' });
    expect(faults(await move)).toEqual([400, '/mode: This is required']);
    const answer = await management
      .call('post', '/v1/imports', admin)
      .send({ service: 'service-a', scheme: { algorithm: 'sha256' }, items: [{}, { item: '1' }] });
    const { results } = answer.body as ImportedKeys;
    expect(results.map((one) => [one.error?.pointer, one.error?.detail])).toEqual([
      ['/item', 'This is required'],
      ['/hash', 'This is required'],
    ]);
    const whole = keyBody();
    const grant = { service: 'service-a' };
    expect(faults(await create({ ...whole, grants: [grant] }))).toEqual([
      400,
      '/grants/0/scopes: This is required',
    ]);
  });

  it.each([
    ['{"__proto__": {"a": 1}}', '/__proto__'],
    ['{"name": "a", "metadata": {"b": [{"__proto__": null}]}}', '/metadata/b/0/__proto__'],
    ['{"metadata": {"constructor": {"prototype": {}}}}', '/metadata/constructor/prototype'],
  ])('a body that reaches for a prototype: %s', async (body, pointer) => {
    const fault = `${pointer}: Leave out __proto__ and constructor.prototype`;
    expect(faults(await create(body))).toEqual([400, fault]);
  });

  it.each([
    ['post', '/v1/keys?dryRun=true', '/dryRun'],
    ['post', '/v1/keys/verify?trace=1', '/trace'],
    ['patch', '/v1/consumers/one?a=b', '/a'],
    ['get', '/v1/services/one?expand=keys', '/expand'],
  ] as const)('a query where none is taken: %s %s', async (method, path, pointer) => {
    const { status, body } = await management.call(method, path, world.admin);
    expect([status, body]).toEqual([
      400,
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        errors: [
          {
            pointer,
            code: 'UNKNOWN_PROPERTY',
            detail: 'This property is not known here; leave it out',
          },
        ],
      }),
    ]);
  });

  it.each([
    ['get', '/v1/imports/move'],
    ['put', '/v1/imports/move'],
    ['patch', '/v1/keys/verify'],
    ['get', '/v1/keys/revoke?a=b'],
  ] as const)('another method than the one of its address: %s %s', async (method, path) => {
    const { status, body, headers } = await management.call(method, path, world.admin);
    expect([status, headers['allow'], body]).toEqual([
      405,
      'POST',
      expect.objectContaining({ code: 'METHOD_NOT_ALLOWED', detail: 'Use POST here' }),
    ]);
  });

  it('a content-type that names no media type, or two', async () => {
    for (const type of ['json', 'application/json, text/plain']) {
      const call = management.call('post', '/v1/keys', world.admin).set('content-type', type);
      expect((await call.send('{}')).body).toMatchObject({
        code: 'UNSUPPORTED_MEDIA_TYPE',
        detail: 'Name one media type as content-type, such as application/json',
      });
    }
  });

  it('a revocation without a body', async () => {
    const { key } = await world.issue();
    const answer = await management.call('post', `/v1/keys/${key.id}/revoke`, world.admin);
    expect(faults(answer)).toEqual([400, '/reason: This is required']);
  });

  it('no body at all is none where none is needed, whatever type it is said to have', async () => {
    const { key } = await world.issue();
    const post = (call: string) =>
      management
        .call('post', `/v1/keys/${key.id}/${call}`, world.admin)
        .set('content-type', 'application/json');
    const statuses = [];
    for (const call of ['disable', 'enable', 'rotate', 'rotation/finish'])
      statuses.push((await post(call)).status);
    expect(statuses).toEqual([200, 200, 200, 200]);
    expect(faults(await post('revoke'))).toEqual([400, '/reason: This is required']);
  });

  it('a body that is no JSON where none is read, as any other there', async () => {
    const { key } = await world.issue();
    for (const body of ['{"a":', '{"a":1}']) {
      const path = `/v1/keys/${key.id}/disable`;
      const call = management
        .call('post', path, world.admin)
        .set('content-type', 'application/json');
      expect((await call.send(body)).body).toMatchObject({
        code: 'INVALID_REQUEST',
        detail: 'Leave out the body here',
        errors: [{ pointer: '' }],
      });
    }
  });

  it('an If-Match that no answer ever gave', async () => {
    const { key } = await world.issue();
    const patch = async (tag: string) =>
      (
        await management
          .call('patch', `/v1/keys/${key.id}`, world.admin)
          .set('if-match', tag)
          .send({ name: 'other' })
      ).body as Problem;
    const unlike = 'No ETag of this service looks so; send the one of the last answer, such as "3"';
    expect(await patch('"zz"')).toMatchObject({ status: 412, detail: unlike });
    expect(await patch('W/"1"')).toMatchObject({
      status: 412,
      detail: expect.stringMatching(/^A weak tag matches nothing: send .*"3", without W/) as string,
    });
    expect((await patch('"2"')).detail).toMatch(/^Read it again/);
  });
});

it('a second revocation changes nothing, and shows the reason that stays', async () => {
  const { key } = await world.issue();
  const revoke = async (reason: string) => {
    const path = `/v1/keys/${key.id}/revoke`;
    return (await management.call('post', path, world.admin).send({ reason })).body as ChangedKey;
  };
  const first = await revoke('leaked');
  const second = await revoke('retired');
  expect(second.key).toEqual(first.key);
  expect(second.key.revocationReason).toBe('leaked');
});
