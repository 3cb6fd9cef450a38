import { connect, type AddressInfo, type Socket } from 'node:net';
import { createHttp } from './http.js';
import { openDoors, passedOn, type OnAnswer } from './door.js';
import { createLogger } from './logging.js';
import type { ServerEnv } from './server-env.js';

const env = { TRUST_PROXY: [] as string[], CORS_ORIGINS: [] as string[] } as ServerEnv;
const { fastify } = createHttp({ env, log: createLogger('door', 'silent') });
const JSON_TYPE = 'application/json';

/** Answers that the door was asked for and has not given yet. */
const waiting: { socket: Socket; done: OnAnswer }[] = [];
let port: number;
let onPreClose: (now?: unknown) => void;

beforeAll(async () => {
  fastify.post('/asked', { preParsing: passedOn }, (request) => ({
    by: 'route',
    body: request.body,
  }));
  openDoors(fastify, [
    {
      path: '/asked',
      admit: ({ headers }) => headers.authorization || null,
      answer: ({ request, caller, read }, done) => {
        const body = read();
        const { how } = body as { how?: string };
        if (how === 'throw') throw new Error('not at this door');
        if (how === 'leave') return false;
        if (how === 'fail') done(null, Object.assign(new Error('failed'), { statusCode: 418 }));
        else if (how === 'late') setImmediate(() => done(null));
        else if (how === 'wait') waiting.push({ socket: request.socket, done });
        else done(JSON.stringify({ by: 'door', caller, body, text: 'größer' }));
        return true;
      },
    },
  ]);
  fastify.addHook('preClose', (done) => {
    onPreClose();
    done();
  });
  await fastify.listen({ port: 0, host: '127.0.0.1' });
  port = (fastify.server.address() as AddressInfo).port;
});

const ask = (body: string, headers: Record<string, string> = {}, path = '/asked') =>
  fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { authorization: 'me', 'content-type': JSON_TYPE, ...headers },
    body,
  });

/** Sends texts on one connection, one after the other, and resolves with all that comes back when `isEnough`. */
function talk(texts: string[], isEnough: (answer: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setNoDelay(true).setEncoding('utf8');
    socket.on('error', reject).on('data', (text: string) => {
      answer += text;
      if (!isEnough(answer)) return;
      socket.destroy();
      resolve(answer);
    });
    texts.forEach((text, i) => setTimeout(() => socket.write(text), 20 * i));
  });
}

const headOf = (length: number, more = '') =>
  `POST /asked HTTP/1.1\r\nhost: x\r\nauthorization: me\r\ncontent-type: ${JSON_TYPE}\r\ncontent-length: ${length}\r\n${more}\r\n`;

describe('a door', () => {
  it('answers the usual request, with the headers that every answer has', async () => {
    const answer = await ask('{"n":1}', { 'x-request-id': 'mine' });
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-request-id': 'mine',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'content-type': 'application/json; charset=utf-8',
    });
    expect(await answer.json()).toEqual({
      by: 'door',
      caller: 'me',
      body: { n: 1 },
      text: 'größer',
    });
  });

  it('puts a body together that comes in pieces, and answers requests of one connection in their order', async () => {
    const text = await talk([headOf(9), '{"n":', `123}${headOf(7)}{"n":4}`], (answer) =>
      answer.includes('"n":4}'),
    );
    expect(text.indexOf('"n":123')).toBeGreaterThan(0);
    expect(text.indexOf('"n":4')).toBeGreaterThan(text.indexOf('"n":123'));
    expect(text.match(/"by":"door"/g)).toHaveLength(2);
  });

  it.each([
    ['text beyond ASCII', '{"a":"größer"}', { a: 'größer' }],
    ['an escape', '{"a":"\\u0041"}', { a: 'A' }],
    ['what it does not answer', '{"how":"leave"}', { how: 'leave' }],
    ['what it throws at', '{"how":"throw"}', { how: 'throw' }],
    ['what it looks at later and does not answer', '{"how":"late"}', { how: 'late' }],
  ])('leaves %s to the route, with the whole body', async (_what, sent, body) => {
    const answer = await ask(sent);
    expect([answer.status, await answer.json()]).toEqual([200, { by: 'route', body }]);
  });

  it.each([
    ['no caller', { authorization: '' }, 200],
    ['another content type', { 'content-type': 'application/json; charset=ascii' }, 415],
    ['a compressed body', { 'content-encoding': 'gzip' }, 415],
    ['two keys in one header', { 'x-api-key': 'a,b' }, 400],
  ])('leaves a request with %s to Fastify', async (_what, headers, status) => {
    const answer = await ask('{"n":1}', headers);
    expect(answer.status).toBe(status);
    expect(await answer.text()).not.toContain('"by":"door"');
  });

  it('leaves what is no JSON, too long, or sent in chunks to Fastify', async () => {
    expect((await ask('{"n":')).status).toBe(400);
    expect((await ask(JSON.stringify({ n: 'x'.repeat(70_000) }))).status).toBe(413);
    const chunked = headOf(0).replace('content-length: 0', 'transfer-encoding: chunked');
    const text = await talk([`${chunked}7\r\n{"n":1}\r\n0\r\n\r\n`], (answer) =>
      answer.includes('}}'),
    );
    expect(text).toContain('"by":"route"');
  });

  it('tells what goes wrong as the route would', async () => {
    expect((await ask('{"how":"fail"}')).status).toBe(418);
  });

  it('is not there for other paths, methods and queries', async () => {
    expect((await ask('{"n":1}', {}, '/asked?n=1')).status).toBe(200);
    expect(await (await ask('{"n":1}', {}, '/asked?n=1')).json()).toMatchObject({ by: 'route' });
    expect((await ask('{"n":1}', {}, '/other')).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${port}/asked`)).status).toBe(404);
  });

  const nextWaiting = async () => {
    while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    return waiting.pop()!;
  };

  it('gives no answer to who has left', async () => {
    const gone = connect(port, '127.0.0.1');
    gone.write(`${headOf(14)}{"how":"wait"}`);
    const { socket, done } = await nextWaiting();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    gone.destroy();
    await closed;
    done('{}');
    expect((await ask('{"n":1}')).status).toBe(200);
  });

  it('lets go of a connection whose answer comes while the server closes', async () => {
    const waits = ask('{"how":"wait"}');
    const { done } = await nextWaiting();
    const isClosing = new Promise((resolve) => (onPreClose = resolve));
    const closed = fastify.close();
    await isClosing;
    done('{"by":"door"}');
    const answer = await waits;
    expect(await answer.json()).toEqual({ by: 'door' });
    expect(answer.headers.get('connection')).toBe('close');
    await closed;
  });
});
