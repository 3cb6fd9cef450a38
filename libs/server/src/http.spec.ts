import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { createHttp } from './http.js';
import { ProblemException } from './problem-exception.js';
import { sendProblem, toldOf } from './problem.filter.js';
import type { ServerEnv } from './server-env.js';

const env = { TRUST_PROXY: [] as string[], CORS_ORIGINS: [] as string[] } as ServerEnv;
const logged: Record<string, unknown>[] = [];
const log = pino({}, { write: (line: string) => logged.push(JSON.parse(line)) });
const { fastify } = createHttp({ env, log, keyPaths: ['/ask-it'], formPaths: ['/form-it'] });
const key = `kw_live_${'a'.repeat(16)}_${'B'.repeat(49)}`;

beforeAll(async () => {
  fastify.setErrorHandler((error, request, reply) =>
    sendProblem(request, reply, toldOf(error), error),
  );
  for (const path of ['/ask-it', '/form-it', '/other']) fastify.post(path, ({ body }) => body);
  fastify.get('/named/:name', ({ params }) => params);
  fastify.post('/refused', () => {
    const cause = new Error('It answered 403 API_KEY_REVOKED');
    throw new ProblemException('UPSTREAM_REFUSED', 'The other side says no', { cause });
  });
  await fastify.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(() => fastify.close());

function dial(): Socket {
  return connect((fastify.server.address() as AddressInfo).port, '127.0.0.1');
}

async function send(target: string, type: string, body: string): Promise<string> {
  const socket = dial().setEncoding('utf8');
  const head = `POST ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${type}`;
  socket.write(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  return (await socket.toArray()).join('');
}

describe.each(['/ask-it', '/%61sk-it', '/ask%2dit', 'http://127.0.0.1/ask-it', '/ask-it?a=b'])(
  'a route written as %s',
  (target) => {
    it('takes the keys that it asks about, a form where it takes one, and no key elsewhere', async () => {
      const json = JSON.stringify({ key });
      expect(await send(target, 'application/json', json)).toContain(json);
      const form = target.replace('ask', 'form').replace('%61sk', '%66orm');
      const sent = await send(form, 'application/x-www-form-urlencoded', 'a=b');
      expect(sent).toContain('{"a":"b"}');
      const refused = await send('/other', 'application/json', json);
      expect(refused).toContain('KEY_IN_WRONG_PLACE');
    });
  },
);

it.each([
  ['post /other HTTP/1.1', 'a method that it knows, in capitals'],
  ['GET /a b HTTP/1.1', 'Percent-encode spaces'],
  ['GET /\u00e9 HTTP/1.1', 'what is not ASCII in it percent-encoded'],
  ['GET / HTTP/3.0', 'as HTTP/1.1'],
  ['GET / HTTP/1.1\r\na: \x7f', 'headers of visible characters'],
  ['POST /other HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4', 'not beside'],
  ['POST /other HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked', 'no content-length'],
  ['POST /other HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2', 'content-length once'],
  ['GET / HTTP/1.1\r\na: b\nset-cookie: c', 'CR and LF together'],
  ['GET / HTTP/1.1\r\na: b\rset-cookie: c', 'CR and LF together'],
])('a request that Node cannot read is told what would be right: %j', async (head, detail) => {
  const socket = dial().setEncoding('utf8');
  socket.write(`${head}\r\nhost: x\r\n\r\n`);
  const answer = (await socket.toArray()).join('');
  expect(answer).toMatch(/^HTTP\/1.1 400 /);
  expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
    code: 'INVALID_REQUEST',
    detail: expect.stringContaining(detail),
  });
});

it.each([
  ['content-length: 500', '{"secret":"sesame'],
  ['transfer-encoding: chunked', '10\r\n{"secret":"sesam\r\n'],
])('a body that is cut short is told as that, and nothing of it: %s', async (length, body) => {
  const socket = dial().setEncoding('utf8');
  const head = 'POST /other HTTP/1.1\r\nhost: x\r\ncontent-type: application/json';
  socket.end(`${head}\r\n${length}\r\n\r\n${body}`);
  const answer = (await socket.toArray()).join('');
  expect(answer).toMatch(/^HTTP\/1.1 400 /);
  expect(answer).not.toContain('sesam');
  expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
    code: 'INVALID_REQUEST',
    detail:
      'Send the whole request: it ended within its headers, or before as many bytes of a body as they name',
  });
});

it.each([
  ['a body that says its length', 'content-length: 33554432', ''],
  ['one that does not', 'transfer-encoding: chunked', '2000000\r\n'],
])(
  '%s and is far too large is answered, whoever sends all of it first',
  async (_what, length, size) => {
    const socket = dial().setEncoding('utf8');
    const head = 'POST /other HTTP/1.1\r\nhost: x\r\ncontent-type: application/json';
    socket.write(`${head}\r\n${length}\r\n\r\n${size}`);
    socket.write(Buffer.alloc(32 * 1_024 * 1_024, 'x'));
    socket.end(`${size && '\r\n0\r\n\r\n'}GET /there-is-none HTTP/1.1\r\nhost: x\r\n\r\n`);
    const answers = (await socket.toArray()).join('');
    expect(answers.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 404']);
  },
);

it('a part of a path that is too long is told how long it may be', async () => {
  const socket = dial().setEncoding('utf8');
  socket.end(`GET /named/${'a'.repeat(129)} HTTP/1.1\r\nhost: x\r\n\r\n`);
  const answer = (await socket.toArray()).join('');
  expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
    code: 'URI_TOO_LONG',
    detail: 'Use at most 128 characters in each part of the path',
  });
});

it('a problem is logged once, with what led to it', async () => {
  logged.length = 0;
  await send('/refused', 'application/json', '{}');
  expect(logged).toContainEqual(
    expect.objectContaining({
      msg: 'The other side says no',
      code: 'UPSTREAM_REFUSED',
      err: expect.objectContaining({ message: 'It answered 403 API_KEY_REVOKED' }),
    }),
  );
  expect(JSON.stringify(logged).split('The other side says no')).toHaveLength(2);
});

it('a caller that leaves in the middle of its body is logged as that, not as an outage', async () => {
  logged.length = 0;
  const socket = dial();
  const reading = once(fastify.server, 'request');
  const head = 'POST /other HTTP/1.1\r\nhost: x\r\ncontent-type: application/json';
  socket.write(`${head}\r\ncontent-length: 500\r\n\r\n{"a":`);
  await reading;
  socket.destroy();
  while (logged.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(logged).toEqual([
    expect.objectContaining({ level: 30, status: 499, msg: expect.stringContaining('left') }),
  ]);
});

it('closes though connections are open on which nothing, or half a request, has come, and answers what is under way', async () => {
  const { fastify: closing } = createHttp({ env, log });
  let asked = (): void => undefined;
  const isAsked = new Promise<void>((resolve) => (asked = resolve));
  closing.get('/slow', async () => {
    asked();
    await delay(300);
    return { is: 'answered' };
  });
  await closing.listen({ port: 0, host: '127.0.0.1' });
  const { port } = closing.server.address() as AddressInfo;
  const sockets = [
    '',
    'GET /slow HTTP/1.1\r\nhost: x\r\n',
    'GET /slow HTTP/1.1\r\nhost: x\r\n\r\n',
  ].map((text) => {
    const socket = connect(port, '127.0.0.1').setEncoding('utf8');
    socket.write(text);
    return socket;
  });
  const answers = sockets.map((socket) => socket.toArray().catch(() => ['cut']));
  await isAsked;
  await closing.close();
  expect((await answers[2]!).join('')).toContain('answered');
  const others = await Promise.all(answers.slice(0, 2));
  expect(others.flat().join('')).not.toContain('answered');
}, 20_000);
