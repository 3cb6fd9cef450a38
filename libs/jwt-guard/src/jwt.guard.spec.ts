import 'reflect-metadata';
import { Controller, Get, Module, type DynamicModule, type INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import request from 'supertest';
import type { Claims } from '#contracts';
import { Authenticated, Caller, Public, Roles, TokenScopes } from './access.js';
import { JwtGuardModule, type JwtGuardOptions } from './jwt-guard.module.js';
import { unguardedRoutes } from './route-check.js';
import { createIssuer, type Issuer } from './testing/issuer.js';

@Controller()
class GoodController {
  @Get('open')
  @Public()
  open(): string {
    return 'open';
  }

  @Get('mine')
  @Authenticated()
  mine(@Caller() caller: Claims): { sub: string } {
    return { sub: caller.sub };
  }

  @Get('either')
  @Roles('admin', 'auditor')
  @TokenScopes('keys:verify')
  either(): string {
    return 'either';
  }
}

@Controller('forgotten')
class ForgottenController {
  @Get()
  forgotten(): string {
    return 'must never be seen';
  }
}

@Module({})
class TestModule {
  static with(controllers: DynamicModule['controllers'], options: JwtGuardOptions): DynamicModule {
    return {
      module: TestModule,
      imports: [JwtGuardModule.forRoot(options)],
      controllers: controllers ?? [],
    };
  }
}

let issuer: Issuer;
const apps: INestApplication[] = [];

async function create(
  controllers: DynamicModule['controllers'],
  options: Partial<JwtGuardOptions> = {},
): Promise<NestFastifyApplication> {
  const module = TestModule.with(controllers, {
    ...issuer.options,
    ...options,
  } as JwtGuardOptions);
  const app = await NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), {
    logger: false,
    abortOnError: false,
  });
  apps.push(app);
  return app;
}

async function start(options: Partial<JwtGuardOptions> = {}) {
  const app = await create([GoodController], options);
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  return request(app.getHttpServer());
}

beforeAll(async () => {
  issuer = await createIssuer();
});

afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await issuer.close();
});

test('a public route lets anyone in, even with a token that is refused elsewhere', async () => {
  const api = await start();
  const answer = await api.get('/open').set('authorization', 'Bearer nonsense');
  expect([answer.status, answer.text]).toEqual([200, 'open']);
});

test('without a token the answer is 401 UNAUTHENTICATED and a plain challenge', async () => {
  const api = await start();
  for (const header of [undefined, 'Bearer', 'Bearer ', 'Basic !!!', 'Bearer\tx']) {
    const call = api.get('/mine');
    if (header !== undefined) call.set('authorization', header);
    const answer = await call;
    expect([answer.status, answer.body.code, answer.headers['www-authenticate']]).toEqual([
      401,
      'UNAUTHENTICATED',
      'Bearer',
    ]);
  }
});

test('a token that is refused is 401 INVALID_TOKEN with the same answer for every reason', async () => {
  const api = await start();
  const good = await issuer.token();
  const refusals = [
    'x',
    'a b',
    'A'.repeat(9_000),
    'a.b.c.d',
    '%%%.%%%.%%%',
    await issuer.token({ exp: 1 }),
    `${good.slice(0, -6)}AAAAAA`,
  ];
  for (const token of refusals) {
    const answer = await api.get('/mine').set('authorization', `bearer ${token}`);
    expect(answer.headers['www-authenticate']).toBe('Bearer error="invalid_token"');
    expect({ status: answer.status, body: answer.body as unknown }).toEqual({
      status: 401,
      body: {
        type: 'urn:keyward:problem:invalid-token',
        title: 'The token is not valid',
        status: 401,
        code: 'INVALID_TOKEN',
        detail: 'Log in again: the access token is not good, or no longer',
      },
    });
  }
});

test('two Authorization headers are 400 INVALID_HEADER, also where either token is good', async () => {
  const api = await start();
  const good = `Bearer ${await issuer.token()}`;
  for (const headers of [
    [good, 'Bearer x.y.z'],
    ['Bearer x.y.z', good],
    [good, good],
  ]) {
    const answer = await api.get('/mine').set({ authorization: headers } as never);
    expect([answer.status, answer.body.code]).toEqual([400, 'INVALID_HEADER']);
  }
});

test('a good token opens a route for whoever is authenticated, and the handler sees the claims', async () => {
  const api = await start();
  const token = await issuer.token({ sub: 'usr_7' });
  const answer = await api.get('/mine').set('authorization', `Bearer ${token}`);
  expect([answer.status, answer.body]).toEqual([200, { sub: 'usr_7' }]);
});

test('roles and token scopes on one route mean either; a scope counts for a service account only', async () => {
  const api = await start();
  const status = async (claims: object) => {
    const token = await issuer.token(claims);
    return (await api.get('/either').set('authorization', `Bearer ${token}`)).status;
  };
  expect(await status({ roles: ['auditor'] })).toBe(200);
  expect(await status({ client_id: 'service-a', scope: 'keys:usage keys:verify' })).toBe(200);
  expect(await status({ client_id: 'service-a', scope: 'keys:verifyx' })).toBe(403);
  expect(await status({ scope: 'keys:verify' })).toBe(403);
  expect(await status({ roles: ['user'] })).toBe(403);
});

test('roles and scopes of another issuer are as good as Keyward’s own', async () => {
  @Controller()
  class ShopController {
    @Get('stock')
    @Roles('shop:keeper')
    @TokenScopes('stock:count')
    stock(): string {
      return 'stock';
    }
  }
  const app = await create([ShopController]);
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  const status = async (claims: object) => {
    const token = await issuer.token(claims);
    const call = request(app.getHttpServer()).get('/stock');
    return (await call.set('authorization', `Bearer ${token}`)).status;
  };
  expect(await status({ roles: ['staff', 'shop:keeper'] })).toBe(200);
  expect(await status({ client_id: 'tills', scope: 'stock:count' })).toBe(200);
  expect(await status({ roles: ['staff'] })).toBe(403);
  expect(await status({ roles: ['admin'] })).toBe(403);
  expect(await status({ roles: [7] })).toBe(401);
});

test('a token whose session has ended is refused like any other', async () => {
  const api = await start({ isLive: async (caller) => caller.sub === 'usr_live' });
  const call = async (sub: string) =>
    (await api.get('/mine').set('authorization', `Bearer ${await issuer.token({ sub })}`)).status;
  expect(await call('usr_live')).toBe(200);
  expect(await call('usr_gone')).toBe(401);
});

test('with no keys of the issuer to be had the answer is 503, never 401', async () => {
  const api = await start({ jwksUrl: 'http://127.0.0.1:9/jwks.json' });
  const answer = await api.get('/mine').set('authorization', `Bearer ${await issuer.token()}`);
  expect([answer.status, answer.body.code]).toEqual([503, 'SERVICE_UNAVAILABLE']);
});

test('an option that is wrong stops the start', async () => {
  const wrong = [{ isLive: true }, { jwksUrl: 7 }, { audiences: ['service-a'] }] as object[];
  for (const options of wrong) await expect(create([], options)).rejects.toThrow('JWT guard');
});

test('a route that names nobody stops the start, and is an error at a call', async () => {
  const app = await create([ForgottenController]);
  expect(unguardedRoutes(app)).toEqual(['ForgottenController.forgotten']);
  await expect(app.init()).rejects.toThrow('ForgottenController.forgotten');
  await app.getHttpAdapter().getInstance().ready();
  const answer = await request(app.getHttpServer()).get('/forgotten');
  expect(answer.status).toBe(500);
  expect(answer.text).not.toContain('must never be seen');
});

test('a hundred interleaved callers each see themselves', async () => {
  const app = await create([GoodController]);
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const seen = await Promise.all(
    Array.from({ length: 100 }, async (_, number) => {
      const token = await issuer.token({ sub: `usr_${number}` });
      const answer = await fetch(`${url}/mine`, { headers: { authorization: `Bearer ${token}` } });
      return ((await answer.json()) as { sub: string }).sub;
    }),
  );
  expect(seen).toEqual(Array.from({ length: 100 }, (_, number) => `usr_${number}`));
});
