import { setTimeout as wait } from 'node:timers/promises';
import { Controller, Get, Module, UseGuards, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import { VERDICT_CODES, type Lease, type Verdict, type VerdictCode } from '#contracts';
import { ApiKey } from './api-key.js';
import { KeyGuardModule } from './key-guard.module.js';
import { KeyGuard } from './key.guard.js';
import { Public } from './public.js';
import { RequireScope } from './require-scope.js';
import { serveFeed } from './testing/stub-feed.js';
import { createStubServer, json, type StubServer } from './testing/stub-server.js';

@Controller('things')
class ThingsController {
  @Get()
  @RequireScope('things:read', 'things:list')
  list(@ApiKey() key: Verdict) {
    return { by: key.consumer };
  }

  @Get('open')
  @Public()
  open() {
    return { by: 'anybody' };
  }
}

const decision = {
  source: 'store',
  asOf: '2027-01-31T12:00:00.000Z',
  ttlSeconds: 60,
  version: 1,
} as const;
const lease: Lease = {
  notBefore: null,
  ipAllowlist: [],
  rateLimits: [],
  hasQuota: false,
  permits: 0,
  graceSeconds: 60,
  sensitiveScopes: [],
};
const verdictOf = (code: VerdictCode, more: Partial<Verdict> = {}): Verdict => ({
  valid: code === 'VALID',
  code,
  ...(code === 'VALID' && {
    keyId: 'key_3kTMd7QpXvB2nYcF',
    secretNumber: 1,
    consumer: 'service-b',
    environment: 'live' as const,
    scopes: ['things:*'],
  }),
  decision,
  ...more,
});

describe('KeyGuard', () => {
  let keyService: StubServer;
  let app: NestFastifyApplication;
  const start = async (
    controller: Type | Type[],
    everyRoute = true,
    mode: 'strict' | 'cached' = 'strict',
  ) => {
    @Module({
      imports: [
        KeyGuardModule.forRootAsync({
          everyRoute,
          useFactory: () => ({
            urls: [keyService.url],
            token: () => Promise.resolve('own-token'),
            service: 'service-a',
            mode,
            timeoutMs: 1_000,
          }),
        }),
      ],
      controllers: [controller].flat(),
    })
    class TestModule {}
    const adapter = new FastifyAdapter();
    app = await NestFactory.create<NestFastifyApplication>(TestModule, adapter, {
      logger: false,
      abortOnError: false,
    });
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
  };
  const answer = (verdict: unknown, status = 200) =>
    keyService.answer((_seen, response) => json(response, status, verdict));
  const call = (headers: Record<string, string | string[]> = { 'x-api-key': 'kw_live_x' }) =>
    request(app.getHttpServer()).get('/things').set(headers);

  beforeEach(async () => {
    keyService = await createStubServer();
  });
  afterEach(async () => {
    await app?.close();
    await keyService.close();
  });

  it('lets a good key pass, and the handler sees whose it is', async () => {
    await start(ThingsController);
    answer(verdictOf('VALID', { consumer: 'service-b' }));
    const response = await call().expect(200);
    expect(response.body).toEqual({ by: 'service-b' });
    expect(JSON.parse(keyService.seen[0]!.body)).toEqual({
      key: 'kw_live_x',
      scopes: ['things:read', 'things:list'],
      clientIp: '127.0.0.1',
      service: 'service-a',
      environment: 'live',
    });
  });

  it.each([
    ['no key', {}],
    ['an empty key', { 'x-api-key': '' }],
    ['a key of spaces', { 'x-api-key': '   ' }],
    ['a key in a cookie', { cookie: 'x-api-key=kw_live_x' }],
    ['a key as a bearer token', { authorization: 'Bearer kw_live_x' }],
  ])('answers 401 API_KEY_MISSING to %s, and asks nobody', async (_what, headers) => {
    await start(ThingsController);
    const response = await call(headers).expect(401);
    expect(response.headers['www-authenticate']).toBe('ApiKey');
    expect(response.body).toMatchObject({ code: 'API_KEY_MISSING' });
    expect(keyService.seen).toEqual([]);
  });

  it('answers 400 to a key beside another credential, and asks nobody', async () => {
    await start(ThingsController);
    const response = await call({ 'x-api-key': 'kw_live_x', authorization: 'Bearer x' });
    expect([response.status, keyService.seen]).toEqual([400, []]);
  });

  it.each([
    ['two headers with a key', ['kw_live_x', 'kw_live_y']],
    ['the same key twice', ['kw_live_x', 'kw_live_x']],
    ['a key beside an empty one', ['', 'kw_live_x']],
    ['one header with a list of keys', 'kw_live_x,kw_live_y'],
  ])('answers 400 INVALID_HEADER to %s, and asks nobody', async (_what, keys) => {
    await start(ThingsController);
    answer(verdictOf('VALID'));
    const response = await call({ 'x-api-key': keys }).expect(400);
    expect(response.body).toMatchObject({ code: 'INVALID_HEADER' });
    expect([JSON.stringify(response.body), keyService.seen]).toEqual([
      expect.not.stringContaining('kw_live_'),
      [],
    ]);
  });

  it('answers a key that is too long like any invalid one, and asks nobody', async () => {
    await start(ThingsController);
    answer(verdictOf('NOT_FOUND'));
    const tooLong = await call({ 'x-api-key': 'k'.repeat(1_025) }).expect(403);
    expect(keyService.seen).toEqual([]);
    const unknown = await call().expect(403);
    expect(tooLong.text).toBe(unknown.text);
  });

  const refused = {
    MALFORMED: [403, 'API_KEY_INVALID'],
    NOT_FOUND: [403, 'API_KEY_INVALID'],
    REVOKED: [403, 'API_KEY_REVOKED'],
    EXPIRED: [403, 'API_KEY_EXPIRED'],
    SUPERSEDED: [403, 'API_KEY_SUPERSEDED'],
    NOT_YET_VALID: [403, 'API_KEY_NOT_YET_VALID'],
    DISABLED: [403, 'API_KEY_DISABLED'],
    INSUFFICIENT_SCOPE: [403, 'INSUFFICIENT_SCOPE'],
    IP_NOT_ALLOWED: [403, 'IP_NOT_ALLOWED'],
    WRONG_ENVIRONMENT: [403, 'WRONG_ENVIRONMENT'],
    RATE_LIMITED: [429, 'RATE_LIMITED'],
    QUOTA_EXCEEDED: [429, 'QUOTA_EXCEEDED'],
  } as const;
  it.each(Object.entries(refused))('answers %s with %j', async (code, [status, errorCode]) => {
    await start(ThingsController);
    answer(verdictOf(code as VerdictCode));
    const response = await call().expect(status);
    expect(response.body).toMatchObject({ code: errorCode });
    expect(response.headers['retry-after']).toBe(status === 429 ? '60' : undefined);
  });

  it('has an answer to every code', () => {
    expect(['VALID', ...Object.keys(refused)].toSorted()).toEqual([...VERDICT_CODES].toSorted());
  });

  it('says over which limit a key is and how long to wait', async () => {
    await start(ThingsController);
    const rateLimits = [
      { name: 'burst', limit: 10, remaining: 0, resetSeconds: 2.5 },
      { name: 'day', limit: 1_000, remaining: 900, resetSeconds: 9 },
    ];
    const quota = { limit: 5_000, remaining: 70, resetsAt: '2027-02-01T00:00:00.000Z' };
    answer(verdictOf('RATE_LIMITED', { rateLimits, quota }));
    const limited = await call().expect(429);
    expect(limited.headers).toMatchObject({
      'ratelimit-policy': '"burst";q=10, "day";q=1000, "quota";q=5000',
      ratelimit: '"burst";r=0;t=3, "day";r=900;t=9, "quota";r=70;t=43200',
      'retry-after': '3',
    });
    answer(verdictOf('RATE_LIMITED', { rateLimits, retryAfterSeconds: 1 }));
    expect((await call().expect(429)).headers['retry-after']).toBe('1');
    answer(verdictOf('RATE_LIMITED', { rateLimits, costExceedsLimit: true }));
    const never = await call().expect(429);
    expect(never.headers['retry-after']).toBeUndefined();
    expect(never.body).toMatchObject({
      code: 'RATE_LIMITED',
      detail: 'Ask for wider limits; this costs more than they hold',
    });
    answer(verdictOf('VALID', { rateLimits: [rateLimits[1]!] }));
    const passed = await call().expect(200);
    expect(passed.headers['ratelimit']).toBe('"day";r=900;t=9');
    expect(passed.headers['retry-after']).toBeUndefined();
  });

  it('warns a consumer that still uses a superseded secret', async () => {
    await start(ThingsController);
    const rotation = { superseded: true, validUntil: '2127-02-01T12:00:00.000Z' } as const;
    answer(verdictOf('VALID', { rotation: { ...rotation, since: '2027-01-15T08:00:00.500Z' } }));
    const warned = await call().expect(200);
    expect(warned.headers['deprecation']).toBe('@1800000000');
    expect(warned.headers['sunset']).toBe('Sat, 01 Feb 2127 12:00:00 GMT');
    answer(verdictOf('VALID', { rotation }));
    const untold = await call().expect(200);
    expect(untold.headers['deprecation']).toBeUndefined();
    expect(untold.headers['sunset']).toBe('Sat, 01 Feb 2127 12:00:00 GMT');
  });

  it.each([
    ['errs', () => answer({}, 500)],
    ['throttles', () => answer({}, 429)],
    ['refuses the service', () => answer({}, 403)],
    ['answers oddly', () => answer({ valid: true })],
    ['hangs', () => keyService.answer(() => undefined)],
    ['breaks off', () => keyService.answer((_seen, response) => void response.destroy())],
  ])('answers 503 and never 401 or 403 when the key service %s', async (_what, set) => {
    await start(ThingsController);
    set();
    const response = await call().expect(503);
    expect(response.body).toMatchObject({ code: 'VERIFICATION_UNAVAILABLE' });
    expect(response.headers['retry-after']).toBe('1');
  });

  it('gives each of many requests at once the principal of its own key', async () => {
    await start(ThingsController);
    const verdictOn = ({ key }: { key: string }) =>
      verdictOf('VALID', { consumer: `consumer-${key}` });
    keyService.answer(({ path, body }, response) => {
      const asked = JSON.parse(body) as { key: string } & { requests: { key: string }[] };
      const answer = path.endsWith('batch')
        ? { results: asked.requests.map(verdictOn) }
        : verdictOn(asked);
      setTimeout(() => json(response, 200, answer), Math.random() * 5);
    });
    await app.listen(0, '127.0.0.1');
    const keys = Array.from({ length: 1_000 }, (_, i) => String(i % 50));
    const seen: unknown[] = [];
    for (let i = 0; i < keys.length; i += 50) {
      const batch = keys.slice(i, i + 50).map(async (key) => {
        const response = await fetch(`${await app.getUrl()}/things`, {
          headers: { 'x-api-key': key },
        });
        return await response.json();
      });
      seen.push(...(await Promise.all(batch)));
    }
    expect(seen).toEqual(keys.map((key) => ({ by: `consumer-${key}` })));
  });

  it('does so from memory, too, whatever handlers wait for, and refuses the others among them', async () => {
    @Controller('things')
    class Slow {
      @Get()
      @RequireScope('things:read')
      async list(@ApiKey() key: Verdict) {
        const { consumer, metadata } = key;
        await wait(Math.random() * 5);
        return { by: consumer, metadata, still: key.consumer };
      }
    }
    await start(Slow, true, 'cached');
    const verdictOn = ({ key }: { key: string }): Verdict => ({
      ...verdictOf('VALID', { consumer: `consumer-${key}`, metadata: { of: key } }),
      lease,
      // one in five has none of the scopes that are asked for
      ...(Number(key) % 5 === 4 && { valid: false, code: 'INSUFFICIENT_SCOPE', scopes: [] }),
    });
    let asked = 0;
    keyService.answer(({ path, body }, response) => {
      if (path === '/v1/changes') return serveFeed(response);
      if (path === '/v1/usage') return json(response, 202, { accepted: true });
      asked += 1;
      const question = JSON.parse(body) as { key: string } & { requests: { key: string }[] };
      const batch = { results: question.requests?.map(verdictOn) };
      return json(response, 200, path.endsWith('batch') ? batch : verdictOn(question));
    });
    await app.listen(0, '127.0.0.1');
    const url = `${await app.getUrl()}/things`;
    const seenBy = async (key: number) => {
      const answer = await fetch(url, { headers: { 'x-api-key': String(key) } });
      const body = (await answer.json()) as { code?: string };
      return answer.status === 200 ? body : body.code;
    };
    const wanted = (key: number) =>
      key % 5 === 4
        ? 'INSUFFICIENT_SCOPE'
        : { by: `consumer-${key}`, metadata: { of: String(key) }, still: `consumer-${key}` };
    const keys = Array.from({ length: 50 }, (_, i) => i);
    const round = async (order: number[]) => {
      const before = asked;
      expect(await Promise.all(order.map(seenBy))).toEqual(order.map(wanted));
      return asked - before;
    };
    while ((await round(keys)) > 0);
    for (let i = 0; i < 20; i += 1)
      expect(await round(keys.toSorted(() => Math.random() - 0.5))).toBe(0);
  });

  it('lets everybody call what is public, and asks nobody', async () => {
    await start(ThingsController);
    const response = await request(app.getHttpServer()).get('/things/open').expect(200);
    expect([response.body, keyService.seen]).toEqual([{ by: 'anybody' }, []]);
  });

  @Controller('things')
  class Nameless {
    @Get()
    list() {
      return [];
    }
  }
  @Controller('things')
  class Torn {
    @Get()
    @Public()
    @RequireScope('things:read')
    list() {
      return [];
    }
  }
  @Controller('things')
  class Unguarded {
    @Get()
    @RequireScope('things:read')
    list() {
      return [];
    }
  }
  @Controller('things')
  @UseGuards(KeyGuard)
  class GuardedNameless extends Nameless {}

  it.each([
    ['names nothing', Nameless, true, 'list is under KeyGuard and must name'],
    ['is guarded by itself and names nothing', GuardedNameless, false, 'list is under KeyGuard'],
    ['names both', Torn, true, 'Torn.list names @RequireScope and @Public'],
    ['names a scope that nobody checks', Unguarded, false, 'Unguarded.list names @RequireScope'],
  ])('does not let an app start whose route %s', async (_what, controller, everyRoute, told) => {
    await expect(start(controller, everyRoute)).rejects.toThrow(told);
  });

  it('does not let an app start with an unknown option', async () => {
    const options = { urls: ['http://127.0.0.1:1'], token: () => null, service: 'a', cashed: true };
    @Module({ imports: [KeyGuardModule.forRoot(options as never)] })
    class TestModule {}
    const starting = NestFactory.create(TestModule, new FastifyAdapter(), {
      logger: false,
      abortOnError: false,
    });
    await expect(starting).rejects.toThrow('cashed');
  });

  it('lets what a handler names overrule what its controller does', async () => {
    @Controller('things')
    @Public()
    class Mixed {
      @Get()
      @RequireScope('things:read')
      list() {
        return [];
      }
    }
    await start(Mixed);
    expect((await call({})).status).toBe(401);
  });

  it('goes by each controller of those that have inherited one handler', async () => {
    class Base {
      @Get()
      list() {
        return [];
      }
    }
    @Controller('things')
    @RequireScope('things:read')
    class Closed extends Base {}
    @Controller('open')
    @Public()
    class Open extends Base {}
    await start([Closed, Open]);
    const statuses = [];
    for (const path of ['/things', '/open', '/things', '/open'])
      statuses.push((await request(app.getHttpServer()).get(path)).status);
    expect(statuses).toEqual([401, 200, 401, 200]);
  });

  it('takes no empty list of scopes and none that could never be granted', () => {
    expect(() => RequireScope()).toThrow('Name at least one scope');
    expect(() => RequireScope('Things Read')).toThrow('@RequireScope');
  });
});
