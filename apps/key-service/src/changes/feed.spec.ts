import type { AddressInfo } from 'node:net';
import { startReplicas, type Replicas } from '../testing/replicas.js';
import { seed, type Seed } from '../testing/seed.js';

interface Event {
  event: string;
  id: number | null;
  data: {
    seq: number;
    keyId?: string;
    action?: string;
    version?: number;
    at?: string;
    now?: string;
  };
}

let replicas: Replicas;
let seeded: Seed;
let token: string;
const open: AbortController[] = [];

beforeAll(async () => {
  replicas = await startReplicas(2);
  seeded = await seed(replicas);
  token = await replicas.issuer.service('service-a', 'keys:verify');
});
afterEach(() => open.splice(0).forEach((one) => one.abort()));
afterAll(() => replicas?.stop());

/** Opens a stream of one replica. */
async function follow(replica: number, after?: number | string, as = token) {
  const abort = new AbortController();
  open.push(abort);
  const { port } = replicas.apps[replica]!.getHttpServer().address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/v1/changes`, {
    headers: {
      authorization: `Bearer ${as}`,
      ...(after !== undefined && { 'last-event-id': String(after) }),
    },
    signal: abort.signal,
  });
  return { response, events: eventsOf(response) };
}

async function* eventsOf(response: Response): AsyncGenerator<Event, void> {
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split('\n\n');
    text = blocks.pop()!;
    for (const block of blocks) {
      const lines = new Map(
        block.split('\n').map((line) => line.split(/: (.*)/s) as [string, string]),
      );
      const id = lines.get('id');
      yield {
        event: lines.get('event')!,
        id: id === undefined ? null : Number(id),
        data: JSON.parse(lines.get('data')!) as Event['data'],
      };
    }
  }
}

/** The next event that is wanted, and all that came before it. */
async function until(events: AsyncGenerator<Event, void>, isIt: (event: Event) => boolean) {
  const before: Event[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done === true || value === undefined) throw new Error('The stream ended');
    if (isIt(value)) return { found: value, before };
    before.push(value);
  }
}
const beat = ({ event }: Event) => event === 'heartbeat';
const revoke = (id: string) =>
  replicas.call('post', `/v1/keys/${id}/revoke`, seeded.admin).send({ reason: 'retired' });
const ofX = { grants: [{ service: 'service-x', scopes: ['things:read'] }] };

test('tells, on every replica, what changes of the keys of the calling service, and of no other', async () => {
  const [mine, theirs] = [await seeded.issue(), await seeded.issue(ofX)];
  const streams = [await follow(0), await follow(1)];
  for (const { events } of streams) await until(events, beat);
  await revoke(theirs.key.id);
  await revoke(mine.key.id);
  for (const { events } of streams) {
    const { found, before } = await until(events, ({ event }) => event === 'change');
    expect(found.data).toMatchObject({ keyId: mine.key.id, action: 'key.revoked', version: 2 });
    expect(found.id).toBe(found.data.seq);
    expect(before.filter((one) => !beat(one))).toEqual([]);
  }
});

test('a heartbeat says that all that was committed by its time has been told', async () => {
  const { events } = await follow(1);
  await until(events, beat);
  const { key } = await seeded.issue();
  await revoke(key.id);
  const doneAt = new Date().toISOString();
  const { before } = await until(events, (one) => beat(one) && one.data.at! >= doneAt);
  const told = before.filter(({ data }) => data.keyId === key.id).map(({ data }) => data.action);
  expect(told).toEqual(['key.created', 'key.revoked']);
});

test('a clock that is set back an hour neither stops the heartbeats nor lets one vouch for what is yet to come', async () => {
  const { events } = await follow(0);
  const { found: first } = await until(events, beat);
  const { now } = Date;
  Date.now = () => now() - 3_600_000;
  try {
    const next = await until(events, (one) => beat(one) && one.data.at! > first.data.at!);
    expect(next.found.data.seq).toBeGreaterThanOrEqual(first.data.seq);
    const after = await follow(0);
    const { found: hello } = await until(after.events, ({ event }) => event === 'hello');
    const { found } = await until(after.events, beat);
    expect(Date.parse(hello.data.now!)).toBeGreaterThan(now() - 3_000_000);
    expect(found.data.at! <= hello.data.now!).toBe(true);
  } finally {
    Date.now = now;
  }
});

test('Last-Event-ID goes on where a stream ended, on another replica too, with nothing left out or said twice', async () => {
  const first = await follow(0);
  const { found } = await until(first.events, beat);
  open.splice(0).forEach((one) => one.abort());
  const made = [];
  for (let i = 0; i < 5; i += 1) made.push((await seeded.issue()).key.id);
  await seeded.issue(ofX);
  const { events } = await follow(1, found.id!);
  const { before } = await until(events, beat);
  const changes = before.filter(({ event }) => event === 'change');
  expect(changes.map(({ data }) => data.keyId)).toEqual(made);
  expect(changes.map(({ data }) => data.seq)).toEqual(
    changes.map(({ data }) => data.seq).toSorted((a, b) => a - b),
  );
});

/** Adds rows of service-a to the change log as fast as that goes, each of another version of one key. */
async function addRows(count: number): Promise<void> {
  await replicas.postgres.owner.query(
    `WITH head AS (UPDATE keys.change_head SET seq = seq + $1 RETURNING seq)
     INSERT INTO keys.change_log (seq, actor, action, target_type, target_id, key_version, services)
     SELECT head.seq - $1 + n, 'usr_admin', 'key.updated', 'key', 'key_00000000000many', n, '{service-a}'
     FROM head, generate_series(1, $1::int) n`,
    [count],
  );
}

/** The newest number, once a replica has told everything up to it. */
async function headOf(replica: number): Promise<number> {
  const [row] = await replicas.postgres.owner.query<[{ seq: string }]>(
    'SELECT seq FROM keys.change_head',
  );
  const head = Number(row.seq);
  const { events } = await follow(replica);
  await until(events, (one) => beat(one) && one.data.seq >= head);
  return head;
}

test('a gap of thousands of rows is told row by row, and one of more than 10,000 by a reset', async () => {
  const start = await headOf(0);
  await addRows(2_500);
  const middle = await headOf(0);
  const { events } = await follow(0, start);
  const { before } = await until(events, beat);
  const told = before.filter(({ event }) => event === 'change').map(({ id }) => id);
  expect(told).toEqual(Array.from({ length: 2_500 }, (_, n) => start + n + 1));
  await addRows(8_000);
  const end = await headOf(0);
  const late = await follow(0, start);
  const { found, before: untold } = await until(late.events, ({ event }) => event === 'reset');
  expect(found.data.seq).toBeGreaterThanOrEqual(end);
  expect(untold.map(({ event }) => event)).toEqual(['hello']);
  const within = await follow(0, middle);
  const { before: all } = await until(within.events, beat);
  expect(all.filter(({ event }) => event === 'change')).toHaveLength(end - middle);
});

test.each([['999999999'], ['abc'], ['-1'], ['1.5']])(
  'a number that is not one of ours, %s, is answered by a reset',
  async (after) => {
    const { events } = await follow(0, after);
    const { found } = await until(events, ({ event }) => event === 'reset');
    expect(found.id).toBe(found.data.seq);
    const next = await until(events, beat);
    expect(next.found.data.seq).toBeGreaterThanOrEqual(found.data.seq);
  },
);

test('beats about twice a second, and ends when the token of its caller does', async () => {
  const brief = await replicas.issuer.service(
    'service-a',
    'keys:verify',
    Math.floor(Date.now() / 1_000) + 4,
  );
  const { events } = await follow(0, undefined, brief);
  await until(events, beat);
  const beatsMs = [performance.now()];
  const noteBeat = (event: Event): boolean => {
    if (beat(event)) beatsMs.push(performance.now());
    return false;
  };
  await expect(until(events, noteBeat)).rejects.toThrow('The stream ended');
  const gapsMs = beatsMs.slice(1).map((ms, i) => ms - beatsMs[i]!);
  // a guard must not find its feed silent, nor be flooded; the one in the middle tells, whatever held the machine up
  const usualMs = gapsMs.toSorted((a, b) => a - b)[Math.floor(gapsMs.length / 2)];
  expect(usualMs).toBeGreaterThan(350);
  expect(usualMs).toBeLessThan(1_500);
});

test('a change is told though the connection that hears of it is ended, and that one is made anew', async () => {
  const streams = [await follow(0), await follow(1)];
  for (const { events } of streams) await until(events, beat);
  const listening = `FROM pg_stat_activity WHERE application_name = 'keyward changes'`;
  const { owner } = replicas.postgres;
  const pids = async () =>
    (await owner.query<{ pid: number }[]>(`SELECT pid ${listening}`)).map((one) => one.pid);
  const before = await pids();
  expect(before).toHaveLength(2);
  await owner.query(`SELECT pg_terminate_backend(pid) ${listening}`);
  const { key } = await seeded.issue();
  for (const { events } of streams)
    await until(events, ({ event, data }) => event === 'change' && data.keyId === key.id);
  const isListening = async () =>
    (await pids()).filter((pid) => !before.includes(pid)).length === before.length;
  while (!(await isListening())) await new Promise((resolve) => setTimeout(resolve, 50));
});

test('one service leaves streams for others, and is told so where it wants more', async () => {
  const own = [];
  for (let i = 0; i < 500; i += 1) own.push(await follow(0));
  expect(own.map(({ response }) => response.status)).toEqual(Array(500).fill(200));
  const { response: more } = await follow(0);
  expect([more.status, more.headers.get('retry-after')]).toEqual([503, '5']);
  await expect(more.json()).resolves.toMatchObject({
    code: 'SERVICE_UNAVAILABLE',
    detail:
      'service-a has 500 streams open here, and others need the 500 that are left; follow another replica, or close some',
  });
  const other = await replicas.issuer.service('service-x', 'keys:verify');
  const { events } = await follow(0, undefined, other);
  await until(events, beat);
  expect((await follow(1)).response.status).toBe(200);
  // what is closed is free again
  for (const one of open.slice(0, 2)) one.abort();
  while ((await follow(0)).response.status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 50));
});

test('is for services that may verify; HEAD is no stream', async () => {
  const provisioner = await replicas.issuer.service('service-a', 'keys:provision');
  const statuses = [];
  for (const who of [null, 'junk', seeded.admin, provisioner])
    statuses.push((await replicas.call('get', '/v1/changes', who)).status);
  expect(statuses).toEqual([401, 401, 403, 403]);
  expect((await replicas.call('head', '/v1/changes', null)).status).toBe(401);
  const head = await replicas.call('head', '/v1/changes', token);
  expect([head.status, head.headers['content-type']]).toEqual([200, 'text/event-stream']);
});
