import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Lease, UsageReport, Verdict, VerifyBatchAnswer, VerifyBody } from '#contracts';
import { Usage } from '../usage/usage.js';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';

let replicas: Replicas;
let seeded: Seed;
let token: string;

beforeAll(async () => {
  replicas = await startReplicas(2);
  seeded = await seed(replicas);
  token = await replicas.issuer.service('service-a', 'keys:verify');
});
afterAll(() => replicas?.stop());

const ask = async (body: VerifyBody, replica = 0): Promise<Verdict> =>
  (await replicas.ask(replica, body)).body;
const leased = async (body: VerifyBody): Promise<Verdict & { lease: Lease }> => {
  const verdict = await ask({ lease: { permits: 0 }, ...body });
  if (verdict.lease === undefined) throw new Error(`No lease: ${JSON.stringify(verdict)}`);
  return { ...verdict, lease: verdict.lease };
};
const limit = (units: number) => [{ name: 'a', limit: units, windowSeconds: 3_600 }];

describe('a lease', () => {
  it('is only for who asks for it, who gets the same verdict as anybody', async () => {
    const { secret } = await seeded.issue({ rateLimits: limit(100) });
    expect(await ask({ key: secret })).not.toHaveProperty('lease');
    const { lease, decision, ...told } = await leased({ key: secret });
    const { decision: _, ...plain } = await ask({ key: secret });
    const rateLimits = [{ name: 'a', limit: 100, remaining: 97, resetSeconds: 108 }];
    expect(plain).toEqual({ ...told, rateLimits });
    expect(lease).toEqual({
      notBefore: null,
      ipAllowlist: [],
      rateLimits: limit(100),
      hasQuota: false,
      permits: 0,
      graceSeconds: 60,
      sensitiveScopes: [],
    });
    expect(decision.version).toBe(1);
  });

  it('tells what the key may do later, where this one question is refused, and spends nothing', async () => {
    const { secret } = await seeded.issue({
      rateLimits: limit(5),
      quota: { limit: 9 },
      ipAllowlist: ['10.0.0.0/8'],
      metadata: { team: 'blue' },
    });
    const refused = await leased({ key: secret, lease: { permits: 3 }, clientIp: '192.0.2.1' });
    expect(refused).toMatchObject({
      code: 'IP_NOT_ALLOWED',
      scopes: ['reports:read'],
      lease: {
        ipAllowlist: ['10.0.0.0/8'],
        hasQuota: true,
        permits: 0,
        metadata: { team: 'blue' },
      },
    });
    const passed = await ask({ key: secret, clientIp: '10.1.2.3' });
    expect(passed).toMatchObject({ rateLimits: [{ remaining: 4 }], quota: { remaining: 8 } });
  });

  it('is not given for a key that is dead, unknown or another service’s', async () => {
    const wish = { lease: { permits: 5 } };
    const revoked = await seeded.issue();
    await replicas
      .call('post', `/v1/keys/${revoked.key.id}/revoke`, seeded.admin)
      .send({ reason: 'retired' });
    const foreign = await seeded.issue({
      grants: [{ service: 'service-x', scopes: ['things:read'] }],
    });
    for (const [key, code] of [
      [revoked.secret, 'REVOKED'],
      [foreign.secret, 'NOT_FOUND'],
      ['junk', 'MALFORMED'],
    ]) {
      const verdict = await ask({ key: key!, ...wish });
      expect([verdict.code, verdict.lease]).toEqual([code, undefined]);
    }
  });

  it('says what the policy of the service is by now', async () => {
    const { secret } = await seeded.issue();
    await leased({ key: secret });
    const policy = { graceSeconds: 7, sensitiveScopes: ['reports:delete'] };
    await replicas
      .call('patch', '/v1/services/service-a', seeded.admin)
      .set('if-match', '*')
      .send({ policy })
      .expect(200);
    let told: Lease;
    do told = (await leased({ key: secret })).lease;
    while (told.graceSeconds === 60);
    expect(told).toMatchObject(policy);
  });
});

describe('permits', () => {
  it('are spent when they are leased, never more than are there', async () => {
    const { secret } = await seeded.issue({ rateLimits: limit(20), quota: { limit: 1_000 } });
    const first = await leased({ key: secret, lease: { permits: 10 } });
    expect(first).toMatchObject({
      lease: { permits: 10 },
      rateLimits: [{ remaining: 9 }],
      quota: { remaining: 989 },
    });
    const second = await leased({ key: secret, lease: { permits: 50 } });
    expect(second).toMatchObject({ lease: { permits: 8 }, rateLimits: [{ remaining: 0 }] });
    const third = await leased({ key: secret, lease: { permits: 1 } });
    expect(third).toMatchObject({ code: 'RATE_LIMITED', lease: { permits: 0 } });
  });

  it('of all who lease at once are at most what the limit allows', async () => {
    const { secret } = await seeded.issue({ rateLimits: limit(200) });
    const verdicts = await Promise.all(
      Array.from({ length: 60 }, (_, i) => ask({ key: secret, lease: { permits: i % 7 } }, i)),
    );
    const passed = verdicts.filter((one) => one.valid).length;
    const permits = verdicts.reduce((sum, one) => sum + (one.lease?.permits ?? 0), 0);
    const { rateLimits } = await ask({ key: secret, dryRun: true });
    expect(passed + permits).toBeLessThanOrEqual(200);
    expect(rateLimits![0]!.remaining).toBe(200 - passed - permits);
  });

  it('are none where nothing limits the key, and none for who only looks', async () => {
    const free = await seeded.issue();
    expect((await leased({ key: free.secret, lease: { permits: 9 } })).lease.permits).toBe(0);
    const { secret } = await seeded.issue({ rateLimits: limit(5) });
    const looked = await leased({ key: secret, dryRun: true, lease: { permits: 3 } });
    expect(looked).toMatchObject({ lease: { permits: 0 }, rateLimits: [{ remaining: 5 }] });
  });

  it('leave the use of a question to the guard that counts it itself, but for keys that nobody knows', async () => {
    const { key, secret } = await seeded.issue();
    const lease = { permits: 0, counted: true };
    await leased({ key: secret, lease });
    await leased({ key: secret });
    await Promise.all(replicas.apps.map((app) => app.get(Usage).flush()));
    const { body } = await replicas
      .call('get', `/v1/usage?keyId=${key.id}&granularity=day`, seeded.admin)
      .expect(200);
    expect((body as UsageReport).data.map((one) => one.counts)).toEqual([{ VALID: 1 }]);
    const unknown = async () => {
      await Promise.all(replicas.apps.map((app) => app.get(Usage).flush()));
      const counted =
        'SELECT coalesce(sum(count), 0)::int AS uses FROM keys.usage_by_minute WHERE code = $1';
      const [row] = await replicas.postgres.owner.query<{ uses: number }[]>(counted, ['MALFORMED']);
      return row!.uses;
    };
    const before = await unknown();
    await ask({ key: 'junk', lease });
    expect(await unknown()).toBe(before + 1);
  });

  it('are not counted as usage before they are used', async () => {
    const { key, secret } = await seeded.issue({ rateLimits: limit(100) });
    await leased({ key: secret, lease: { permits: 50 } });
    await Promise.all(replicas.apps.map((app) => app.get(Usage).flush()));
    const query = `keyId=${key.id}&granularity=minute`;
    const { body } = await replicas.call('get', `/v1/usage?${query}`, seeded.admin).expect(200);
    const total = (body as UsageReport).data.reduce((sum, one) => sum + one.total, 0);
    expect(total).toBe(1);
  });
});

describe('verify-batch', () => {
  const batch = async (body: object): Promise<{ status: number; body: VerifyBatchAnswer }> => {
    const { port } = replicas.apps[1]!.getHttpServer().address() as AddressInfo;
    const answer = await fetch(`http://127.0.0.1:${port}/v1/keys/verify-batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as VerifyBatchAnswer };
  };

  it('leases to each question that wishes it', async () => {
    const { secret } = await seeded.issue({ rateLimits: limit(9) });
    const { body } = await batch({
      requests: [{ key: secret, lease: { permits: 2 } }, { key: secret }, { key: 'junk' }],
    });
    expect(body.results).toMatchObject([
      { lease: { permits: 2 } },
      { valid: true },
      { valid: false },
    ]);
    expect(body.results[1]).not.toHaveProperty('lease');
  });

  it('answers what can be decided where it may be partial, and 503 where it may not', async () => {
    const cached = await seeded.issue();
    for (let i = 0; i < 3; i += 1) await ask({ key: cached.secret }, 1);
    const cold = await seeded.issue();
    const requests = [{ key: cached.secret }, { key: cold.secret }];
    await replicas.postgres.whileAway(async () => {
      expect((await batch({ requests })).status).toBe(503);
      const { status, body } = await batch({ requests, partial: true });
      expect([status, body.results]).toMatchObject([200, [{ code: 'VALID' }, null]]);
      expect((await batch({ requests: [requests[1]], partial: true })).status).toBe(503);
    });
    await replicas.redisInUse(true);
  });
});

describe('the change feed', () => {
  /** Reads events until one is found; ends the stream. */
  const event = (name: string, replica: number, after: number): Promise<object> => {
    const { port } = replicas.apps[replica]!.getHttpServer().address() as AddressInfo;
    const headers = { authorization: `Bearer ${token}`, 'last-event-id': String(after) };
    return new Promise((resolve, reject) => {
      const sent = get({ port, path: '/v1/changes', headers }, (stream) => {
        let text = '';
        stream.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
          const found = new RegExp(`event: ${name}\\n(?:id: \\d+\\n)?data: (.*)\\n\\n`).exec(text);
          if (found === null) return;
          sent.destroy();
          resolve(JSON.parse(found[1]!) as object);
        });
        stream.on('end', () => reject(new Error(`The stream ended without ${name}: ${text}`)));
      });
      sent.on('error', reject);
    });
  };
  const headSeq = async () =>
    Number(
      (
        await replicas.postgres.owner.query<[{ seq: string }]>('SELECT seq FROM keys.change_head')
      )[0].seq,
    );

  it('tells a service that its policy was changed', async () => {
    const head = await headSeq();
    await replicas
      .call('patch', '/v1/services/service-a', seeded.admin)
      .set('if-match', '*')
      .send({ policy: { graceSeconds: 9 } })
      .expect(200);
    expect(await event('policy', 0, head)).toEqual({ seq: head + 1 });
  });

  it('goes on at a replica that is a little behind the one before', async () => {
    const next = (await headSeq()) + 1;
    const told = event('(?:reset|heartbeat)', 1, next);
    await seeded.issue();
    expect(await told).toMatchObject({
      seq: expect.any(Number) as number,
      at: expect.any(String) as string,
    });
  });
});
