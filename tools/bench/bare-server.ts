import Fastify from 'fastify';
import { Redis } from 'ioredis';
import { Pool } from 'pg';

/**
 * What the key service is measured against: Fastify and nothing else, on the same body sizes.
 *
 * `/static` answers at once; `/evalsha` runs one bucket script, `/pipeline` one for each of the body's keys in one pipeline,
 * `/select` one statement by primary key.
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

const [port, redisUrl, databaseUrl, answerText] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];
const redis = new Redis(redisUrl, { enableAutoPipelining: true }) as Redis & {
  bucket(...args: (string | number)[]): Promise<number[]>;
};
redis.defineCommand('bucket', { numberOfKeys: 2, lua: BUCKET });
const pool = new Pool({ connectionString: databaseUrl, max: 8 });

const answer: unknown = JSON.parse(answerText);
const server = Fastify({ logger: false });
const keyBody = { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] };

interface OneKey {
  key: string;
}

server.post<{ Body: OneKey }>('/static', { schema: { body: keyBody } }, () => answer);
server.post<{ Body: OneKey }>('/evalsha', { schema: { body: keyBody } }, async ({ body }) => {
  const id = body.key.slice(8, 24);
  await redis.bucket(`bare:{${id}}:rec`, `bare:{${id}}:rl`, 1_000_000, 60_000);
  return answer;
});
server.post<{ Body: OneKey }>('/select', { schema: { body: keyBody } }, async ({ body }) => {
  const id = `key_${body.key.slice(8, 24)}`;
  await pool.query({ name: 'one', text: 'SELECT * FROM keys.key WHERE id = $1', values: [id] });
  return answer;
});
server.post<{ Body: { keys: OneKey[] } }>('/pipeline', async ({ body }) => {
  const pipeline = redis.pipeline() as unknown as {
    bucket: typeof redis.bucket;
    exec: () => Promise<unknown>;
  };
  for (const { key } of body.keys) {
    const id = key.slice(8, 24);
    void pipeline.bucket(`bare:{${id}}:rec`, `bare:{${id}}:rl`, 1_000_000, 60_000);
  }
  await pipeline.exec();
  return { results: body.keys.map(() => answer) };
});

await server.listen({ port: Number(port), host: '127.0.0.1' });
process.send?.({ ready: 'bare' });
process.on('disconnect', () => process.exit(0));
