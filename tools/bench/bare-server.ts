import Fastify, { type FastifyInstance } from 'fastify';
import { Redis } from 'ioredis';
import { Pool } from 'pg';

/**
 * What the key service is measured against: Fastify with one route and nothing else, on the same body sizes.
 *
 * `static` answers at once; `script` runs one bucket script beside a look-up, `pipeline` one for each of the body's keys in one
 * pipeline, `select` one statement by primary key.
 */
const BUCKET = `
local entry = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local unit = tonumber(ARGV[2]) / tonumber(ARGV[1])
local old = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), now)
local tat = old + unit
if tat - now > tonumber(ARGV[2]) then return {0, 0, math.ceil(tat - now)} end
redis.call('SET', KEYS[2], string.format('%.3f', tat), 'PX', math.ceil(tat - now))
return {1, math.floor((tonumber(ARGV[2]) - (tat - now)) / unit), math.ceil(tat - now)}`;
const LIMIT = 1_000_000;
const WINDOW_MS = 60_000;

interface OneKey {
  key: string;
}

type Scripted = Redis & { bucket(...args: (string | number)[]): Promise<number[]> };

const [route, port, redisUrl, databaseUrl, answerText] = process.argv.slice(2) as [
  keyof typeof ROUTES,
  string,
  string,
  string,
  string,
];
const answer: unknown = JSON.parse(answerText);
const ROUTES = { static: serveStatic, script: serveScript, select: serveSelect, pipeline };
const keyBody = { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] };

const server = Fastify({ logger: false });
ROUTES[route](server);
await server.listen({ port: Number(port), host: '127.0.0.1' });
process.send?.({ ready: 'bare' });
process.on('disconnect', () => process.exit(0));

function serveStatic(fastify: FastifyInstance): void {
  fastify.post<{ Body: OneKey }>('/', { schema: { body: keyBody } }, () => answer);
}

function serveScript(fastify: FastifyInstance): void {
  const redis = connectRedis();
  fastify.post<{ Body: OneKey }>('/', { schema: { body: keyBody } }, async ({ body }) => {
    await redis.bucket(...namesOf(body.key), LIMIT, WINDOW_MS);
    return answer;
  });
}

function serveSelect(fastify: FastifyInstance): void {
  const pool = new Pool({ connectionString: databaseUrl, max: 8 });
  fastify.post<{ Body: OneKey }>('/', { schema: { body: keyBody } }, async ({ body }) => {
    const id = `key_${idOf(body.key)}`;
    await pool.query({ name: 'one', text: 'SELECT * FROM keys.key WHERE id = $1', values: [id] });
    return answer;
  });
}

function pipeline(fastify: FastifyInstance): void {
  const redis = connectRedis();
  fastify.post<{ Body: { requests: OneKey[] } }>('/', async ({ body }) => {
    const all = redis.pipeline() as unknown as Pick<Scripted, 'bucket'> & { exec(): Promise<void> };
    for (const { key } of body.requests) void all.bucket(...namesOf(key), LIMIT, WINDOW_MS);
    await all.exec();
    return { results: body.requests.map(() => answer) };
  });
}

function connectRedis(): Scripted {
  const redis = new Redis(redisUrl, { enableAutoPipelining: true });
  redis.defineCommand('bucket', { numberOfKeys: 2, lua: BUCKET });
  return redis as Scripted;
}

/** An entry of the size of the key service's own, which it fills, and a bucket. */
function namesOf(text: string): [string, string] {
  const id = idOf(text);
  return [`kw:{key_${id}}:rec`, `bare:{key_${id}}:rl`];
}

function idOf(text: string): string {
  return text.slice('kw_live_'.length, 'kw_live_'.length + 16);
}
