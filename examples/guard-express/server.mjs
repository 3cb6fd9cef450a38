// A service on Express whose reports are open to API keys with the scope reports:read. See ../../libs/key-guard/README.md.
import express from 'express';
import { createKeyGuard, createServiceToken } from '@keyward/key-guard/core';

const { KEY_SERVICE_URL, LOGIN_URL, CLIENT_ID, CLIENT_SECRET, PORT } = process.env;
const tokenUrl = `${LOGIN_URL}/oauth2/token`;
const own = { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET };
const token = createServiceToken({
  ...own,
  tokenUrl,
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
