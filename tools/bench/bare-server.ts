import Fastify, { type FastifyInstance } from 'fastify';
import { Redis } from 'ioredis';
import { Pool } from 'pg';

/**
 * What the key service is measured against: Fastify with one route and nothing else, on the same body sizes, with schemas for
 * bodies and answers.
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
const one = { schema: { body: keyBody, response: { 200: schemaOf(answer) } } };
const many = {
  schema: {
    body: {
      type: 'object',
      properties: { requests: { type: 'array', items: keyBody } },
      required: ['requests'],
    },
    response: { 200: schemaOf({ results: [answer] }) },
  },
};

const server = Fastify({ logger: false });
await ROUTES[route](server);
await server.listen({ port: Number(port), host: '127.0.0.1' });
process.send?.({ ready: 'bare' });
process.on('disconnect', () => process.exit(0));

function serveStatic(fastify: FastifyInstance): void {
  fastify.post<{ Body: OneKey }>('/', one, () => answer);
}

async function serveScript(fastify: FastifyInstance): Promise<void> {
  const { redis, bucket } = await connectRedis();
  fastify.post<{ Body: OneKey }>('/', one, async ({ body }) => {
    await redis.evalsha(bucket, ...argumentsOf(body.key));
    return answer;
  });
}

function serveSelect(fastify: FastifyInstance): void {
  const pool = new Pool({ connectionString: databaseUrl, max: 8 });
  fastify.post<{ Body: OneKey }>('/', one, async ({ body }) => {
    const id = `key_${idOf(body.key)}`;
    await pool.query({ name: 'one', text: 'SELECT * FROM keys.key WHERE id = $1', values: [id] });
    return answer;
  });
}

async function pipeline(fastify: FastifyInstance): Promise<void> {
  const { redis, bucket } = await connectRedis();
  fastify.post<{ Body: { requests: OneKey[] } }>('/', many, async ({ body }) => {
    const scripts = body.requests.map(({ key }) => ['evalsha', bucket, ...argumentsOf(key)]);
    for (const [error] of (await redis.pipeline(scripts).exec()) ?? []) if (error) throw error;
    return { results: body.requests.map(() => answer) };
  });
}

/** Every answer has the members of this one: with that said beforehand, Fastify writes JSON faster. */
function schemaOf(value: unknown): object {
  if (Array.isArray(value)) return { type: 'array', items: schemaOf(value[0] ?? '') };
  if (value === null) return { type: 'null' };
  if (typeof value !== 'object') return { type: typeof value };
  const members = Object.entries(value).map(([name, member]) => [name, schemaOf(member)]);
  return { type: 'object', properties: Object.fromEntries(members) as object };
}

/** With the digest of the script, which is there already: by that it costs less than a command of one's own that knows its text. */
async function connectRedis(): Promise<{ redis: Redis; bucket: string }> {
  const redis = new Redis(redisUrl, { enableAutoPipelining: true });
  return { redis, bucket: (await redis.script('LOAD', BUCKET)) as string };
}

/** An entry of the size of the key service's own, which it fills, and a bucket. */
function argumentsOf(text: string): [number, string, string, number, number] {
  const id = idOf(text);
  return [2, `kw:{key_${id}}:rec`, `bare:{key_${id}}:rl`, LIMIT, WINDOW_MS];
}

function idOf(text: string): string {
  return text.slice('kw_live_'.length, 'kw_live_'.length + 16);
}
