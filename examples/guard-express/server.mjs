// A service on Express whose reports are open to API keys with the scope reports:read. ../README.md says how to run it.
import express from 'express';
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

/** Middleware: lets a request pass whose key has all of these scopes, and says whose it is. */
const requireScope =
  (...scopes) =>
  async (request, response, next) => {
    const answer = await guard.check(request, scopes);
    response.set(answer.headers);
    if (!answer.allowed)
      return response.status(answer.status).type('application/problem+json').send(answer.problem);
    request.apiKey = answer.verdict;
    next();
  };

const app = express();
app.get('/reports', requireScope('reports:read'), (request, response) => {
  response.json({ data: ['Opening balance'], readBy: request.apiKey.consumer });
});
const server = app.listen(PORT, '127.0.0.1');
process.once('SIGTERM', () => server.close(() => guard.close()));
