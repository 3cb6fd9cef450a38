import { startAppProcess } from '../../../test/support/app-process.js';
import { sendJson, sendProblem } from '../../../test/support/stub-server.js';
import { createSurroundings } from './testing/service-b.js';

const secretPart = 'aB3'.repeat(17).slice(0, 49);
const key = `kw_live_3kTMd7QpXvB2nYcF_${secretPart}`;

describe('service-b as a process', () => {
  it('writes its key and users tokens to no log, whatever goes wrong', async () => {
    const around = await createSurroundings();
    const app = await startAppProcess(new URL('./main.js', import.meta.url), 'SERVICE_B_PORT', {
      ...around.env,
      NODE_ENV: 'production',
      LOG_LEVEL: 'debug',
      SERVICE_B_API_KEY: key,
    });
    const token = await around.token({ roles: ['admin'] });
    const call = (path: string) =>
      fetch(`${app.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    const answered: number[] = [];
    around.serviceA.routes({
      'GET /v1/reports': (_seen, response) =>
        sendProblem(response, 403, 'API_KEY_INVALID', { detail: `No such key: ${key}` }),
    });
    answered.push((await call('/v1/summary')).status);
    around.serviceA.routes({
      'GET /v1/reports': (_seen, response) => sendJson(response, 200, { key }),
    });
    answered.push((await call('/v1/summary')).status);
    await around.serviceA.close();
    answered.push((await call('/v1/summary')).status);
    answered.push((await call('/v1/key-status')).status);
    expect(answered).toEqual([502, 503, 503, 200]);
    expect(await app.stop()).toBe(0);
    expect(app.output().match(/"msg":"request"/g)).toHaveLength(4);
    for (const one of [secretPart, token]) expect(app.output()).not.toContain(one);
    await around.close();
  });
});
