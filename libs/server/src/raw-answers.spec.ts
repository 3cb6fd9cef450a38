import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { answerForNode } from './raw-answers.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const REQUEST = 'POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 4\r\n\r\nbody';

describe.each(['before its body has ended', 'afterwards'])(
  'of a request that is answered %s',
  (when) => {
    const requests: WeakRef<IncomingMessage>[] = [];
    const server = createServer((request, response) => {
      requests.push(new WeakRef(request));
      const answer = () => void response.end('answer');
      if (when === 'afterwards') request.resume().on('end', answer);
      else request.once('data', answer);
    });
    let line: Socket;

    beforeAll(async () => {
      answerForNode(server);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      line = connect((server.address() as AddressInfo).port, '127.0.0.1');
    });
    afterAll(async () => {
      line.destroy();
      await new Promise((resolve) => server.close(resolve));
    });

    it('nothing is kept while its connection waits for the next', async () => {
      const answered = new Promise((resolve) => line.once('data', resolve));
      line.write(REQUEST);
      expect(String(await answered)).toContain('answer');
      for (let tries = 0; requests[0]!.deref() !== undefined && tries < 50; tries += 1) {
        await delay(10);
        collect();
      }
      expect(line.destroyed).toBe(false);
      expect(requests.map((one) => one.deref())).toEqual([undefined]);
    });
  },
);
