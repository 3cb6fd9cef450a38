// A service on Fastify whose reports are open to API keys with the scope reports:read. ../README.md says how to run it.
import Fastify from 'fastify';
import { createKeyGuard, createServiceToken } from '@keyward/key-guard/core';

const {
  LOGIN_URL = 'http://127.0.0.1:4001',
  KEY_SERVICE_URL = 'http://127.0.0.1:4002',
  CLIENT_ID = 'service-a',
  CLIENT_SECRET,
  PORT = '3000',
} = process.env;
const token = createServiceToken({
  tokenUrl: `${LOGIN_URL}/oauth2/token`,
  clientId: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  audience: 'key-service',
  scope: 'keys:verify',
});
const urls = KEY_SERVICE_URL.split(',');
const guard = createKeyGuard({ urls, token, service: CLIENT_ID, environment: 'live' });

/** A hook: lets a request pass whose key has all of these scopes, and says whose it is. */
const requireScope =
  (...scopes) =>
  async (request, reply) => {
    const answer = await guard.check(request, scopes);
    reply.headers(answer.headers);
    if (!answer.allowed)
      return reply.code(answer.status).type('application/problem+json').send(answer.problem);
    request.apiKey = answer.verdict;
  };

const app = Fastify();
app.decorateRequest('apiKey', null);
app.get('/reports', { onRequest: requireScope('reports:read') }, async (request) => {
  return { data: ['Opening balance'], readBy: request.apiKey.consumer };
});
app.addHook('onClose', () => guard.close());
process.once('SIGTERM', () => app.close());
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
