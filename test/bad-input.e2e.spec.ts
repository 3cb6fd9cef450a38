import { readdirSync, readFileSync } from 'node:fs';
import type { ImportedKeys, IssuedKey, Me } from '#contracts';
import { faultsOf } from './support/answer-rules.js';
import {
  answersIn,
  closeRaw,
  sendBytes,
  sendRaw,
  sendSlowly,
  type RawAnswer,
  type RawRequest,
} from './support/raw-http.js';
import { routesOf, stringsOf, wronglyTyped, type Route } from './support/routes.js';
import { SERVICE_NAMES, startScene, type Scene } from './support/scene.js';

const JSON_TYPE = ['content-type', 'application/json'] as const;
const FORM_TYPE = ['content-type', 'application/x-www-form-urlencoded'] as const;
/** Stands in a body or address; no answer but those named below may repeat it. */
const MARK = 'zq9mark';
/** Routes that a service calls with its own token. */
const FOR_SERVICES = [
  'POST /v1/keys/verify',
  'POST /v1/keys/verify-batch',
  'POST /v1/usage',
  'GET /v1/migration',
  'POST /v1/migration/parity',
];
/** Bodies that may be larger than those of others, in KiB. */
const LARGE_BODIES: Record<string, number> = {
  '/v1/usage': 256,
  '/v1/migration/parity': 256,
  '/v1/imports': 8 * 1_024,
};
/** Bodies larger than this are refused, in KiB. */
const bodyLimitOf = ({ template }: Pick<Route, 'template'>): number => LARGE_BODIES[template] ?? 64;
/** Requests under way at a time. */
const WIDTH = 8;

let scene: Scene;
let routes: Route[];
/** A key with every scope of service-a. */
let key: IssuedKey;
let secrets: string[];
let credentials: Record<Route['access'], readonly (readonly [string, string])[]>;
let serviceToken: string;
let ids: Record<string, string>;
let before: unknown;
let slow: ReturnType<typeof sendSlowly>[];

beforeAll(async () => {
  scene = await startScene();
  const admin = await scene.token();
  serviceToken = await scene.serviceToken('service-a');
  const grants = [{ service: 'service-a', scopes: ['reports:read', 'reports:write'] }];
  const body = { name: 'good', consumer: 'service-b', grants };
  key = (await scene.tell('keyService', '/v1/keys', { token: admin, body })).body as IssuedKey;
  const me = (await scene.tell('login', '/v1/me', { token: admin })).body as Me;
  const { body: page } = await scene.tell('serviceA', '/v1/reports', { key: key.secret });
  const imported = await scene.tell('keyService', '/v1/imports', {
    token: admin,
    body: { service: 'service-a', scheme: { algorithm: 'sha256' }, items: [{}] },
  });
  ids = {
    import: (imported.body as ImportedKeys).import.id,
    login: me.id,
    key: key.key.id,
    report: (page as { data: { id: string }[] }).data[0]!.id,
  };
  credentials = {
    bearer: [['authorization', `Bearer ${admin}`]],
    apiKey: [['x-api-key', key.secret]],
    client: [],
    anyone: [],
  };
  const { quickstart } = scene.platform;
  secrets = [
    key.secret,
    admin,
    serviceToken,
    quickstart.admin.password,
    ...Object.values(quickstart.clients).map((one) => one.clientSecret),
  ];
  routes = await routesOf(scene);
  before = await contents();
  // they take their time: looked at in the end
  const { keyService, serviceA } = scene.platform.quickstart;
  slow = [
    sendSlowly(serviceA, 'GET /v1/reports HTTP/1.1\r\nhost: a\r\nx-slow: '),
    sendSlowly(
      keyService,
      'POST /v1/keys/verify HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n',
    ),
  ];
});
afterAll(async () => {
  closeRaw();
  await scene?.platform.remove();
});

/** The address of a route, with ids of things that are there: passing a guard would show. */
function targetOf({ service, template }: Pick<Route, 'service' | 'template'>): string {
  const kinds: [RegExp, string][] = [
    [/^\/v1\/users/, ids['login'] ?? ''],
    [/^\/v1\/clients/, 'service-a'],
    [/^\/v1\/services/, 'service-a'],
    [/^\/v1\/consumers/, 'service-b'],
    [/^\/v1\/imports/, ids['import'] ?? ''],
    [/^\/v1\/reports/, ids['report'] ?? ''],
    [/^\/v1\/(api-)?keys/, ids['key'] ?? ''],
  ];
  const id = kinds.find(([pattern]) => pattern.test(template))?.[1];
  if (id === undefined && template.includes('{'))
    throw new Error(`Say what to put into ${service} ${template}`);
  return template.replace(/\{\w+\}/g, id ?? '');
}

function accessTo(route: Route): readonly (readonly [string, string])[] {
  if (FOR_SERVICES.includes(`${route.method} ${route.template}`))
    return [['authorization', `Bearer ${serviceToken}`]];
  return credentials[route.access];
}

/** A request that is to be refused, and how. */
interface Case {
  route: Pick<Route, 'service' | 'method' | 'template'>;
  what: string;
  sent: Partial<RawRequest>;
  /** Statuses that are right, or a judgement over the whole answer: one line where it is wrong. */
  want: number[] | ((answer: RawAnswer) => string | null);
}

/** Sends every case and tells what is wrong, whatever the number. */
async function faultsIn(cases: Case[]): Promise<string[]> {
  if (cases.length === 0) throw new Error('There is nothing to be sent');
  const faults: string[] = [];
  const queue = cases.values();
  const work = async (): Promise<void> => {
    for (const one of queue) faults.push(...(await judgeOne(one)));
  };
  await Promise.all(Array.from({ length: WIDTH }, work));
  return faults;
}

async function judgeOne({ route, what, sent, want }: Case): Promise<string[]> {
  const { service, method } = route;
  const request = { method, path: targetOf(route), ...sent };
  const name = `${service} ${request.method} ${request.path}: ${what}:`;
  try {
    const answer = await sendRaw(scene.platform.quickstart[service], request);
    const wrong = Array.isArray(want)
      ? want.includes(answer.status)
        ? null
        : `${answer.status} instead of ${want.join(' or ')} ${answer.text.slice(0, 160)}`
      : want(answer);
    return [...(wrong === null ? [] : [wrong]), ...faultsOf(answer, { secrets })].map(
      (fault) => `${name} ${fault}`,
    );
  } catch (error) {
    return [`${name} ${(error as Error).message}`];
  }
}

/** Everything that a refused request could have changed. */
async function contents(): Promise<Record<string, unknown>> {
  const tables = [
    'login.user',
    'login.client',
    'login.signing_key',
    'keys.service',
    'keys.consumer',
    'keys.key',
    'keys.key_grant',
    'keys.secret',
    'keys.change_log',
    'keys.change_head',
  ];
  const entries = tables.map(async (table) => {
    const [row] = await scene.sql(
      `SELECT count(*) AS rows, md5(string_agg(one, ',' ORDER BY one)) AS digest
       FROM (SELECT (to_jsonb(t) - 'last_used_at' - 'failures' - 'failed_at')::text AS one FROM ${table} t) s`,
    );
    return [table, row] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const withBody = (): Route[] => routes.filter((route) => route.takes === 'application/json');
/** What is not sent is an empty object, which is enough there. */
const mayBeLeftOut = ({ method, body }: Route): boolean =>
  method === 'POST' && (body.required ?? []).length === 0;
const guarded = (): Route[] =>
  routes.filter(({ access }) => access === 'bearer' || access === 'apiKey');
/** The last of the tests: nothing that was refused has left a trace. */
const nothingWritten = async () => expect(await contents()).toEqual(before);
afterEach(nothingWritten);

it('knows every route and what opens it', () => {
  expect(routes.length).toBeGreaterThan(40);
  const open = routes.filter(({ access }) => access === 'anyone' || access === 'client');
  expect(open.map(({ service, method, template }) => `${service} ${method} ${template}`)).toEqual([
    'login GET /.well-known/jwks.json',
    'login GET /.well-known/oauth-authorization-server',
    'login POST /oauth2/token',
    'login POST /v1/login',
    'login POST /v1/logout',
    'login POST /v1/token/refresh',
    'keyService GET /v1/exports/keys',
    'serviceA POST /v1/login',
    'serviceA POST /v1/logout',
    'serviceA POST /v1/token/refresh',
  ]);
});

describe('a body', () => {
  const text = (route: Route, what: string, body: string | Buffer, want: Case['want']): Case => ({
    route,
    what,
    sent: { headers: [...accessTo(route), JSON_TYPE], body },
    want,
  });
  const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

  it('that is no JSON object, or not JSON at all, is 400', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) =>
          [
            'null',
            '[]',
            '"x"',
            '1',
            'true',
            'NaN',
            ...(mayBeLeftOut(route) ? [] : ['']),
            ' ',
            '{',
            '{"a":1',
            '{"a":1}}',
            "{'a':1}",
            '{"a":01}',
            '{"a":"\t"}',
            `\uFEFF{"${MARK}":1}`,
            Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
            Buffer.from('{"a":"é"}', 'latin1'),
            Buffer.from('{"a":1}', 'utf16le'),
          ].map((body) => text(route, `body ${JSON.stringify(body.toString())}`, body, [400])),
        ),
      ),
    ).toEqual([]);
  });

  it('may be empty for those routes alone that are called without one, too: it says no more and no less', () => {
    const optional = withBody().filter(mayBeLeftOut);
    expect(optional.map(({ service, template }) => `${service} ${template}`).toSorted()).toEqual([
      'keyService /v1/keys/{id}/rotate',
      'keyService /v1/keys/{id}/rotation/finish',
      'keyService /v1/self/rotate',
      'login /v1/signing-keys/rotate',
      'serviceA /v1/api-keys/{id}/rotate',
    ]);
  });

  it('with a property that is not known is 400, and the answer says where', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) =>
          ['unknownOne', 'constructor', 'prototype', 'toString', 'id', 'createdAt', 'ownerId'].map(
            (name) =>
              text(
                route,
                `property ${name}`,
                JSON.stringify({ [name]: { a: 1 } }),
                ({ status, text }) => {
                  if (name in (route.body.properties ?? {})) return null;
                  const { errors = [] } = JSON.parse(text) as { errors?: object[] };
                  const told = { pointer: `/${name}`, code: 'UNKNOWN_PROPERTY' };
                  const isTold = errors.some((one) =>
                    JSON.stringify(one).startsWith(JSON.stringify(told).slice(0, -1)),
                  );
                  return status === 400 && isTold ? null : `${status} ${text}`;
                },
              ),
          ),
        ),
      ),
    ).toEqual([]);
  });

  it('that reaches for a prototype is 400, at any depth', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) =>
          [
            '{"__proto__":{"polluted":1}}',
            '{"__proto__":null}',
            '{"a":{"__proto__":{"polluted":1}}}',
            '{"metadata":{"__proto__":{"polluted":1}}}',
            '{"constructor":{"prototype":{"polluted":1}}}',
            '{"a":[{"constructor":{"prototype":{"polluted":1}}}]}',
            String.raw`{"\u005f_proto__":{"polluted":1}}`,
          ].map((body) => text(route, body, body, [400])),
        ),
      ),
    ).toEqual([]);
  });

  it('nested deeper than 20 is 400, and one far deeper breaks nothing', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) => [
          text(route, '21 levels', deep(21), [400]),
          text(route, '21 lists', `{"a":${'['.repeat(20)}${']'.repeat(20)}}`, [400]),
          text(route, '10,000 levels', deep(10_000), [400]),
          text(route, '30,000 lists', '['.repeat(30_000), [400]),
        ]),
      ),
    ).toEqual([]);
  });

  it('with NUL or a lone surrogate, in a name or a value, is 400', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) => [
          ...stringsOf(route).flatMap((name) =>
            [String.raw`a\u0000b`, String.raw`a\ud800b`, String.raw`\udc00`].map((value) =>
              text(route, `${name} ${value}`, `{"${name}":"${value}"}`, [400]),
            ),
          ),
          text(route, 'NUL in a name', String.raw`{"a\u0000b":1}`, [400]),
          text(route, 'a lone surrogate in a name', String.raw`{"\ud800":1}`, [400]),
          text(route, 'a raw NUL', '{"a":"\0"}', [400]),
        ]),
      ),
    ).toEqual([]);
  });

  it('with a value of a wrong type is 400, never made to fit, and the answer says where', async () => {
    const cases = withBody().flatMap((route) =>
      wronglyTyped(route).map(([name, value]) =>
        text(
          route,
          `${name}: ${JSON.stringify(value)}`,
          JSON.stringify({ [name]: value }),
          (answer) => {
            const { errors = [] } = JSON.parse(answer.text) as { errors?: { pointer: string }[] };
            const isTold = errors.some(({ pointer }) => `${pointer}/`.startsWith(`/${name}/`));
            return answer.status === 400 && isTold ? null : `${answer.status} ${answer.text}`;
          },
        ),
      ),
    );
    expect(cases.length).toBeGreaterThan(200);
    expect(await faultsIn(cases)).toEqual([]);
  });

  it('with a number that no counter can be is 400', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) =>
          Object.entries(route.body.properties ?? {})
            .filter(([, schema]) => route.resolve(schema).type === 'integer')
            .flatMap(([name]) =>
              ['9007199254740993', '1e400', '-1e400', '0.30000000000000004', '-1'].map((value) =>
                text(route, `${name}: ${value}`, `{"${name}":${value}}`, [400]),
              ),
            ),
        ),
      ),
    ).toEqual([]);
  });

  it('with text that is too long is 400, too large it is 413 however it is sent', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) => {
          // A key that is asked about may be any text: junk gets a verdict.
          const name = stringsOf(route).find((one) => one !== 'key') ?? 'a';
          const large = JSON.stringify({ [name]: 'x'.repeat((bodyLimitOf(route) + 1) * 1024) });
          const long = JSON.stringify({ [name]: 'x'.repeat(10_000) });
          // Of megabytes the first are refused before the last are sent; tested where the route is.
          if (bodyLimitOf(route) > 1_024) return [text(route, '10,000 characters', long, [400])];
          return [
            text(route, '10,000 characters', long, [400]),
            text(route, '1 KiB too much', large, [413]),
            {
              ...text(route, '1 KiB too much in chunks', large, [413]),
              sent: { headers: [...accessTo(route), JSON_TYPE], body: large, chunked: true },
            },
          ];
        }),
      ),
    ).toEqual([]);
  });

  it('sent to a route that takes none is not silently left out', async () => {
    expect(
      await faultsIn(
        routes
          .filter(({ method, takes }) => method === 'POST' && takes === null)
          .map((route) => text(route, 'a body', JSON.stringify({ [MARK]: 1 }), [400])),
      ),
    ).toEqual([]);
  });

  it('in another media type is 415, and in an odd spelling of the right one it is still checked', async () => {
    expect(
      await faultsIn(
        withBody().flatMap((route) =>
          (
            [
              [null, [415]],
              ['text/plain', [415]],
              ['application/x-www-form-urlencoded', [415]],
              ['multipart/form-data; boundary=x', [415]],
              ['application/xml', [415]],
              ['application/json-patch+json', [415]],
              ['application/problem+json', [415]],
              ['application/jsonx', [415]],
              ['application/json, text/plain', [415]],
              ['text/plain, application/json', [415]],
              ['application/json;charset=utf-16le', [415]],
              ['application/json; charset="UTF-16"', [415]],
              ['application/json; charset=latin1', [415]],
              ['application/json\t; a', [400, 415]],
              [' application/json', [400, 415]],
              ['APPLICATION/JSON', [400]],
              ['application/json; charset=UTF-8', [400]],
              ['application/json;', [400, 415]],
              ['json', [415]],
              [';', [415]],
            ] as [string | null, number[]][]
          ).map(([type, want]) => ({
            route,
            what: `type ${type}`,
            sent: {
              headers: [
                ...accessTo(route),
                ...(type === null ? [] : [['content-type', type] as const]),
              ],
              body: JSON.stringify({ [MARK]: 1 }),
            },
            want,
          })),
        ),
      ),
    ).toEqual([]);
  });

  it('is judged when it is known who sends it: whatever is wrong with it, without a token or key it is 401', async () => {
    const bad: [string | null, string][] = [
      ['application/json', '{"a":'],
      ['application/json', '{"a":1,"a":2}'],
      ['application/json', '{"__proto__":1}'],
      ['application/json', deep(21)],
      ['application/json', '"\\ud800"'],
      ['text/plain', '{}'],
      ['application/x-www-form-urlencoded', 'a=%zz'],
      [null, '{}'],
    ];
    const cases = guarded()
      .filter(({ method }) => method !== 'GET')
      .flatMap((route) =>
        bad.map(([type, body]): Case => {
          const headers = type === null ? [] : [['content-type', type] as const];
          return { route, what: `${type} ${body}`, sent: { headers, body }, want: [401] };
        }),
      );
    expect(cases.length).toBeGreaterThan(200);
    expect(await faultsIn(cases)).toEqual([]);
  });

  it('of the token endpoint is a form, each field once', async () => {
    const route = routes.find(({ template }) => template === '/oauth2/token')!;
    const form = (
      body: string,
      want: number[],
      type: readonly [string, string] = FORM_TYPE,
    ): Case => ({
      route,
      what: body,
      sent: { headers: [type], body },
      want,
    });
    expect(
      await faultsIn([
        form('{"grant_type":"client_credentials"}', [415], JSON_TYPE),
        form('grant_type=client_credentials', [415], ['content-type', 'text/plain']),
        form('', [400]),
        form('grant_type=password&username=admin&password=x', [400]),
        form('grant_type=client_credentials&grant_type=client_credentials', [400]),
        form('grant_type=client_credentials', [401]),
        form('grant_type=client_credentials&client_id=service-a&client_secret=wrong', [401]),
        form('grant_type=client_credentials&client_id=%00&client_secret=%00', [400]),
        form("grant_type=client_credentials&client_id=' OR 1=1 --&client_secret=x", [400, 401]),
        form('grant_type[]=client_credentials&__proto__=x&constructor=x', [400]),
        form(`grant_type=${'x'.repeat(66_000)}`, [413]),
        form('grant_type=%', [400]),
      ]),
    ).toEqual([]);
  });
});

describe('headers', () => {
  const plain = (route: Route): Route['method'] => route.method;
  const sent = (
    route: Route,
    what: string,
    headers: readonly (readonly [string, string])[],
    want: Case['want'],
  ): Case => {
    const hasBody = route.takes !== null && plain(route) !== 'GET';
    return {
      route,
      what,
      sent: {
        headers: [...headers, ...(hasBody ? [JSON_TYPE] : [])],
        ...(hasBody && { body: JSON.stringify({ [MARK]: 1 }) }),
      },
      want,
    };
  };

  it('that may come once are 400 when they come twice, whichever of them is good', async () => {
    expect(
      await faultsIn(
        routes.flatMap((route) => {
          const good = key.secret;
          const [bearer] = credentials.bearer;
          const twice = (name: string, a: string, b: string) =>
            sent(
              route,
              `two ${name}`,
              [
                [name, a],
                [name, b],
              ],
              [400],
            );
          return [
            twice('x-api-key', good, 'bad'),
            twice('x-api-key', 'bad', good),
            twice('X-API-Key', good, good),
            sent(route, 'a list of keys', [['x-api-key', `${good}, bad`]], [400]),
            twice('authorization', bearer![1], 'Bearer x'),
            twice('authorization', 'Bearer x', bearer![1]),
            twice('x-actor-token', 'a', 'b'),
          ];
        }),
      ),
    ).toEqual([]);
  });

  it('that are more than 100 are 400, larger than 16 KiB 431', async () => {
    expect(
      await faultsIn(
        routes.flatMap((route) => [
          sent(
            route,
            '101 headers',
            Array.from({ length: 101 }, (_, i) => [`x-${i}`, '1'] as const),
            [400],
          ),
          sent(route, '20,000 bytes', [['x-long', 'x'.repeat(20_000)]], [431]),
          sent(route, '20,000 bytes of key', [['x-api-key', 'x'.repeat(20_000)]], [431]),
        ]),
      ),
    ).toEqual([]);
  });

  it('that hold no token make 401, however malformed', async () => {
    expect(
      await faultsIn(
        guarded()
          .filter(({ access }) => access === 'bearer')
          .flatMap((route) =>
            [
              'Bearer',
              'Bearer ',
              'Bearer  x',
              'bearer x',
              'Bearer x y',
              'Basic !!!',
              'Basic',
              'Basic YWRtaW46YWRtaW4=',
              'Negotiate x',
              'x',
              `Bearer ${'x'.repeat(8_000)}`,
              'Bearer a.b.c',
              'Bearer a.b.c.d',
              'Bearer a.b.c.d.e',
              'Bearer ..',
              'Bearer e30.e30.',
              'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.',
              'Bearer \u00e9\u00e9.\u00e9.\u00e9',
              `Bearer ${key.secret}`,
              `Bearer ${accessTo(route)[0]?.[1].slice(7, -4)}AAAA`,
            ].map((value) => ({
              ...sent(
                route,
                `authorization ${value.slice(0, 60)}`,
                [['authorization', value]],
                [401],
              ),
              sent: { headers: [['authorization', value]] },
            })),
          ),
      ),
    ).toEqual([]);
  });

  it('that hold no key make 401 or 400 where a key is wanted', async () => {
    expect(
      await faultsIn(
        guarded()
          .filter(({ access }) => access === 'apiKey')
          .flatMap((route) => [
            sent(route, 'an empty key', [['x-api-key', '']], [401]),
            sent(route, 'spaces', [['x-api-key', '   ']], [401]),
            sent(route, 'bytes', [['x-api-key', 'k\u00e9y']], [400]),
            sent(route, 'a key in a cookie', [['cookie', `x-api-key=${key.secret}`]], [400]),
            sent(route, 'another cookie', [['cookie', 'a=b']], [401]),
            sent(route, 'a key as a token', [['authorization', `Bearer ${key.secret}`]], [401]),
            sent(
              route,
              'a key as a password',
              [['authorization', `Basic ${btoa(`x:${key.secret}`)}`]],
              [401],
            ),
          ]),
      ),
    ).toEqual([]);
  });

  it('cannot turn one method into another', async () => {
    expect(
      await faultsIn(
        guarded()
          .filter(({ method }) => method === 'GET' || method === 'POST')
          .flatMap((route) =>
            ['x-http-method-override', 'x-http-method', 'x-method-override'].map((name) => ({
              route,
              what: `${name}: DELETE`,
              sent: {
                headers: [[name, 'DELETE']],
                path: `${targetOf(route)}?_method=DELETE`,
              },
              want: [400, 401],
            })),
          ),
      ),
    ).toEqual([]);
  });

  it('of another origin open nothing to a browser', async () => {
    expect(
      await faultsIn(
        routes.flatMap((route) =>
          ['https://evil.example', 'null', 'http://127.0.0.1.evil.example'].map((origin) => ({
            route,
            what: `preflight from ${origin}`,
            sent: {
              method: 'OPTIONS',
              headers: [
                ['origin', origin],
                ['access-control-request-method', route.method],
              ] as const,
            },
            want: [405],
          })),
        ),
      ),
    ).toEqual([]);
  });
});

describe('an address', () => {
  const variantsOf = (path: string): string[] => {
    const [, second = ''] = path.split('/').filter((part) => part !== '');
    const hex = (letter: string) => `%${letter.charCodeAt(0).toString(16)}`;
    return [
      path.replace(second, hex(second[0]!) + second.slice(1)),
      path.replace(second, second.replace(/./g, hex)),
      path.replace('/v1', '/%76%31'),
      path.replaceAll('/', '//'),
      `/${path}`,
      `${path}/`,
      `${path}//`,
      `${path}/.`,
      `/.${path}`,
      `/v1/.${path.slice(3)}`,
      `/v1/x/..${path.slice(3)}`,
      `/x/..${path}`,
      path.replace('/v1/', '/v1%2f'),
      path.replace('/v1/', String.raw`/v1\ `.trim()),
      `${path};a=b`,
      path.replace(second, `${second};a=b`),
      path.toUpperCase(),
      path.replace('/v1', '/V1'),
      `${path}?`,
      `${path}?a=b`,
      `${path}#a`,
      `${path}%23`,
      `${path}%3f`,
      `${path}%00`,
      `${path}%20`,
      `${path}.json`,
      `http://127.0.0.1${path}`,
      `http://evil.example${path}?a=b`,
    ];
  };

  it('of a guarded route leads past its guard in no spelling', async () => {
    expect(
      await faultsIn(
        guarded().flatMap((route) =>
          [route.method, ...(route.method === 'GET' ? ['HEAD'] : [])].flatMap((method) =>
            [targetOf(route), ...variantsOf(targetOf(route))].map((path, index) => ({
              route,
              what: 'nobody',
              sent: { method, path },
              want: index === 0 ? [401] : [400, 401, 404, 405],
            })),
          ),
        ),
      ),
    ).toEqual([]);
  });

  it('knows its methods: any other is 405 and says which', async () => {
    expect(
      await faultsIn(
        routes.flatMap((route) =>
          ['TRACE', 'PROPFIND', 'PUT', 'OPTIONS', 'LOCK', 'MKCOL'].map((method) => ({
            route,
            what: method,
            sent: { method, headers: accessTo(route) },
            want: ({ status, headers }: RawAnswer) => {
              const here = routesAt(route);
              const own = [...new Set(here.map((one) => one.method))];
              if (own.includes('GET')) own.push('HEAD');
              const allow = String(headers.allow).split(', ');
              return status === 405 && allow.toSorted().join() === own.toSorted().join()
                ? null
                : `${status}, allow ${headers.allow}`;
            },
          })),
        ),
      ),
    ).toEqual([]);
  });

  it('that is not there is 404, whatever it promises', async () => {
    expect(
      await faultsIn(
        SERVICE_NAMES.flatMap((service) =>
          [
            '/',
            '/.env',
            '/.git/config',
            '/debug',
            '/metrics',
            '/health',
            '/v1',
            '/v2/keys',
            '/admin',
            '/docs/../package.json',
            '/docs/%2e%2e%2fpackage.json',
            '/docs/..%5cpackage.json',
            '/docs-json',
            '/docs-yaml',
            '/constructor',
            '/__proto__',
          ].map((path) => ({
            route: { service, method: 'GET', template: path },
            what: 'nobody',
            sent: {},
            want: path.startsWith('/docs/') ? [403, 404] : [404],
          })),
        ),
      ),
    ).toEqual([]);
  });

  it('that is not there is 404, and one that knows other methods 405, whatever body is sent to it', async () => {
    const bodies = [
      ['application/x-www-form-urlencoded', 'a=b'],
      ['text/plain', 'a'],
      ['application/json', '{"a":'],
      ['application/json', '{"__proto__":1}'],
    ];
    const targets = [
      ['/v2/keys', 'POST', 404],
      ['/openapi.json', 'POST', 405],
    ] as const;
    const cases = SERVICE_NAMES.flatMap((service) =>
      targets.flatMap(([template, method, status]) =>
        bodies.map(([type, body]): Case => ({
          route: { service, method, template },
          what: `${type} ${body}`,
          sent: { headers: [['content-type', type!]], body: body! },
          want: [status],
        })),
      ),
    );
    expect(await faultsIn(cases)).toEqual([]);
  });

  it('with an id that cannot be one is 400 or 404, and finds nothing', async () => {
    expect(
      await faultsIn(
        routes
          .filter(({ template }) => template.includes('{'))
          .flatMap((route) =>
            [
              '..%2f..%2fetc%2fpasswd',
              '%2e%2e',
              '%2e%2e%2fusers',
              "'%20OR%20'1'='1",
              '1;DROP%20TABLE%20keys.key--',
              "key_'||pg_sleep(5)--",
              'null',
              'undefined',
              '%00',
              `${ids['key']}%00`,
              `${ids['key']}%0a`,
              'NaN',
              '*',
              '%25',
              '%zz',
              '%c0%ae',
              '%ed%a0%80',
              '__proto__',
              'constructor',
              'key_0000000000000000%20',
              'x'.repeat(200),
              '$where',
              '{id}',
            ].map((id) => ({
              route,
              what: 'an admin',
              sent: {
                path: route.template.replace(/\{\w+\}/, id),
                headers: [...accessTo(route), ...(route.takes === null ? [] : [JSON_TYPE])],
                ...(route.takes !== null && { body: '{}' }),
              },
              want: [400, 404, 414],
            })),
          ),
      ),
    ).toEqual([]);
  });

  it('with a query that is not known or not right is 400', async () => {
    expect(
      await faultsIn(
        routes
          .filter(({ method, query }) => method === 'GET' && query.length > 0)
          .flatMap((route) =>
            [
              'unknown=1',
              'limit=0',
              'limit=201',
              'limit=-1',
              'limit=1e2',
              'limit=1.0',
              'limit=%201',
              'limit=',
              'limit=1&limit=2',
              'limit[]=1',
              'limit[a]=1',
              'limit=9007199254740993',
              'limit=Infinity',
              'cursor=',
              'cursor=x',
              'cursor=e30',
              `cursor=${'x'.repeat(1_025)}`,
              "cursor=' OR 1=1 --".replaceAll(' ', '%20'),
              'cursor=x&cursor=y',
              '__proto__=x',
              '__proto__[a]=x',
              'constructor=x',
              'orderBy=(select%20pg_sleep(5))',
              ...route.query
                .filter((name) => name !== 'limit' && name !== 'cursor')
                .flatMap((name) => [
                  `${name}=`,
                  `${name}=%00`,
                  `${name}=a&${name}=b`,
                  `${name}[$ne]=a`,
                ]),
            ].map((query) => ({
              route,
              what: 'an admin',
              sent: { path: `${targetOf(route)}?${query}`, headers: accessTo(route) },
              want: [400],
            })),
          ),
      ),
    ).toEqual([]);
  });

  it('with any query where none is taken is 400', async () => {
    expect(
      await faultsIn(
        routes
          .filter(({ template, query }) => template.startsWith('/v1/') && query.length === 0)
          .filter(({ takes }) => takes === null || takes === 'application/json')
          .map((route) => ({
            route,
            what: 'an admin',
            sent: {
              path: `${targetOf(route)}?unknown=1`,
              headers: [...accessTo(route), ...(route.takes === null ? [] : [JSON_TYPE])],
              ...(route.takes !== null && { body: '{}' }),
            },
            want: [400],
          })),
      ),
    ).toEqual([]);
  });

  it('with a key or token in it is refused, with and without credentials, and masked in every log', async () => {
    const sentIds: string[] = [];
    const marked = (what: string): [string, string] => {
      const id = `query-${sentIds.length}-${what}`;
      sentIds.push(id);
      return ['x-request-id', id];
    };
    const [bearer] = credentials.bearer;
    // The token endpoint speaks RFC 6749, which has no code for this alone.
    const refusalAt = ({ template }: Route): string =>
      template === '/oauth2/token' ? '"invalid_request"' : '"KEY_IN_WRONG_PLACE"';
    expect(
      await faultsIn(
        routes.flatMap((route) =>
          [
            `x-api-key=${key.secret}`,
            `api_key=${MARK}`,
            `apikey=${MARK}`,
            `a=b&key=${MARK}`,
            `access_token=${MARK}`,
            `anything=${key.secret}`,
            `anything=${bearer![1].slice('Bearer '.length)}`,
          ].map((query, index) => ({
            route,
            what: 'a key in the query',
            sent: {
              path: `${targetOf(route)}?${query}`,
              headers: [...(index % 2 === 0 ? accessTo(route) : []), marked(String(index))],
            },
            want: ({ status, text }: RawAnswer) =>
              status === 400 && text.includes(refusalAt(route)) ? null : `${status} ${text}`,
          })),
        ),
      ),
    ).toEqual([]);
    expect(
      await faultsIn(
        SERVICE_NAMES.flatMap((service) =>
          [`/v1/${key.secret}`, `/${key.secret}/x`, `/v1/reports/${key.secret}`].map((path) => ({
            route: { service, method: 'GET', template: '/' },
            what: 'a key in the path',
            sent: { path, headers: [marked('path')] },
            want: [400, 401, 404],
          })),
        ),
      ),
    ).toEqual([]);
    // lines are on their way for a moment
    const marks = [sentIds[0]!, sentIds.at(-1)!];
    while (!marks.every((id) => logText().includes(id)))
      await new Promise((resolve) => setTimeout(resolve, 50));
    const log = logText();
    expect(secrets.filter((secret) => log.includes(secret))).toEqual([]);
  });
});

describe('bytes on the wire', () => {
  const HOST = 'Host: x\r\n';
  const TEXT = 'Content-Type: application/json\r\n';
  const attacks: [string, string, number][] = [
    ['no Host', 'GET /v1/me HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET /v1/me HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    [
      'both lengths',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'two lengths',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x`,
      400,
    ],
    ['a length below 0', `POST /v1/login HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`, 400],
    [
      'an unknown transfer coding',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'codings upon codings',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a chunk below 0',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n`,
      400,
    ],
    ['bare line feeds', 'GET /v1/me HTTP/1.1\nHost: x\n\n', 400],
    ['a CR in a value', `GET /v1/me HTTP/1.1\r\n${HOST}X-A: a\rX-B: b\r\n\r\n`, 400],
    ['a NUL in a value', `GET /v1/me HTTP/1.1\r\n${HOST}X-A: a\0b\r\n\r\n`, 400],
    ['a folded value', `GET /v1/me HTTP/1.1\r\n${HOST}X-A: a\r\n b\r\n\r\n`, 400],
    ['a space before the colon', `GET /v1/me HTTP/1.1\r\n${HOST}x-api-key : a\r\n\r\n`, 400],
    ['no colon', `GET /v1/me HTTP/1.1\r\n${HOST}x-api-key\r\n\r\n`, 400],
    ['an unknown method', `FOO /v1/me HTTP/1.1\r\n${HOST}\r\n`, 400],
    ['HTTP/2 in the clear', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['a later version', `GET /v1/me HTTP/9.9\r\n${HOST}\r\n`, 400],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n', 400],
    ['an address that is too long', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n${HOST}\r\n`, 431],
    ['a tunnel', `CONNECT evil.example:443 HTTP/1.1\r\n${HOST}\r\n`, 405],
    [
      'an expectation',
      `POST /v1/login HTTP/1.1\r\n${HOST}${TEXT}Expect: miracles\r\nContent-Length: 2\r\n\r\n{}`,
      417,
    ],
  ];

  it.each(attacks)(
    '%s: refused by one problem, and the connection is closed',
    async (_what, bytes, status) => {
      for (const service of SERVICE_NAMES) {
        const { text, closed } = await sendBytes(scene.platform.quickstart[service], bytes);
        const answers = answersIn(text);
        expect({
          service,
          closed,
          statuses: answers.map((one) => one.status),
          faults: answers.flatMap((one) => faultsOf(one, { secrets })),
        }).toEqual({ service, closed: true, statuses: [status], faults: [] });
      }
    },
  );

  it('a percent sign that encodes nothing is 400', async () => {
    for (const service of SERVICE_NAMES) {
      const bytes = `GET /v1/%zz HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
      const { text } = await sendBytes(scene.platform.quickstart[service], bytes);
      const [answer] = answersIn(text);
      expect(answer?.status).toBe(400);
      expect(faultsOf(answer!, { secrets })).toEqual([]);
    }
  });

  const get = (id: string, headers: string) =>
    `GET /v1/reports HTTP/1.1\r\n${HOST}X-Request-Id: ${id}\r\n${headers}\r\n`;

  it('requests in one go are answered in their order, each as its own principal', async () => {
    const good = `x-api-key: ${key.secret}\r\n`;
    const kinds = [
      [good, 200],
      ['', 401],
      ['x-api-key: kw_live_x\r\n', 403],
      ['Content-Length: 0\r\n', 401],
    ] as const;
    const sent = Array.from({ length: 40 }, (_, i) => kinds[(i * 7) % kinds.length]!);
    const bytes = sent.map(([headers], i) => get(`p-${i}`, headers)).join('');
    const { text } = await sendBytes(scene.platform.quickstart.serviceA, bytes);
    expect(answersIn(text).map(({ status, headers }) => [headers['x-request-id'], status])).toEqual(
      sent.map(([, status], i) => [`p-${i}`, status]),
    );
  });

  it('and one that is malformed among them ends the connection, after the answers to those before it', async () => {
    const good = `x-api-key: ${key.secret}\r\n`;
    const before = Array.from({ length: 5 }, (_, i) => get(`q-${i}`, i % 2 === 0 ? good : ''));
    const bytes = [...before, `GET /v1/reports HTTP/1.1\r\nbroken\r\n\r\n`, get('q-after', good)];
    const { text, closed } = await sendBytes(scene.platform.quickstart.serviceA, bytes.join(''));
    const answers = answersIn(text);
    expect(
      answers.slice(0, 5).map(({ status, headers }) => [headers['x-request-id'], status]),
    ).toEqual(before.map((_, i) => [`q-${i}`, i % 2 === 0 ? 200 : 401]));
    expect(answers.slice(5).map(({ status }) => status)).toEqual([400]);
    expect(closed).toBe(true);
  });

  it('who sends headers or a body a byte at a time is hung up on within 30 s, with 408', async () => {
    const ends = await Promise.all(slow);
    expect(ends.filter(({ ms }) => ms > 30_000)).toEqual([]);
    expect(ends.map(({ text }) => text.slice(0, 12))).toEqual(['HTTP/1.1 408', 'HTTP/1.1 408']);
  }, 40_000);

  it('a service serves on after all of it', async () => {
    for (const service of SERVICE_NAMES)
      expect(await scene.tell(service, '/health/ready')).toMatchObject({ status: 200 });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    const { status } = await scene.tell('serviceA', '/v1/reports', { key: key.secret });
    expect(status).toBe(200);
  });
});

/** Those that its address is of: where it is written out, of no route with a parameter in its place. */
function routesAt(route: Route): Route[] {
  const here = routes.filter(({ service }) => service === route.service);
  const literal = here.filter(({ template }) => template === targetOf(route));
  if (literal.length > 0) return literal;
  return here.filter(({ template }) => patternOf(template).test(targetOf(route)));
}

function patternOf(template: string): RegExp {
  return new RegExp(`^${template.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`);
}

/** Everything in the platform's logs, and on its terminal after the banner with the first password. */
function logText(): string {
  const folder = scene.platform.at('logs');
  const files = readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`, 'utf8'));
  const terminal = scene.platform.output().replace(/^ {2}password .*$/m, '');
  return [...files, terminal].join('\n');
}
