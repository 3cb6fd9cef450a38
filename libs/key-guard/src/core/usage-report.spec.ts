import type { ServerResponse } from 'node:http';
import type { UsageBatch, Verdict } from '#contracts';
import { createStubServer, json, type StubServer } from '../testing/stub-server.js';
import { Faults } from './faults.js';
import { KeyService } from './key-service.js';
import { readOptions } from './options.js';
import { UsageReport } from './usage-report.js';

const verdict: Verdict = {
  valid: true,
  code: 'VALID',
  keyId: 'key_3kTMd7QpXvB2nYcF',
  secretNumber: 1,
  decision: { source: 'store', asOf: '2027-01-31T12:00:00.000Z', ttlSeconds: 60, version: 1 },
};
const taken = { accepted: 1, ignored: 0 };

describe('UsageReport', () => {
  let stub: StubServer;
  let keyService: KeyService;
  let report: UsageReport;
  let faults: string[];

  beforeEach(async () => {
    stub = await createStubServer();
    faults = [];
    const onFault = ({ message }: Error) => void faults.push(message);
    const token = () => Promise.resolve('own-token');
    const settings = readOptions({ urls: [stub.url], token, service: 'reports' });
    keyService = new KeyService(settings, new Faults(onFault));
    report = new UsageReport({ keyService, theirNowMs: () => Date.now(), onFault });
  });
  afterEach(async () => {
    keyService.close();
    await stub.close();
  });

  const use = (times: number) => {
    for (let i = 0; i < times; i += 1) report.count(verdict, performance.now());
  };
  const batches = () => stub.seen.map(({ body }) => JSON.parse(body) as UsageBatch);
  const countIn = ({ entries }: UsageBatch) => entries.reduce((sum, one) => sum + one.count, 0);

  it.each<[string, (response: ServerResponse) => void]>([
    ['is lost', (response) => void response.destroy()],
    ['is an outage', (response) => json(response, 503, {})],
    ['asks to wait', (response) => json(response, 429, {})],
  ])(
    'sends a batch whose answer %s again as it was, and what came later in another',
    async (_what, lose) => {
      let isWell = false;
      stub.answer((_seen, response) => (isWell ? json(response, 200, taken) : lose(response)));
      use(3);
      await report.flush();
      use(2);
      await report.flush();
      isWell = true;
      await report.flush();
      await report.flush();
      const [first, again, third, later, ...more] = batches();
      expect([again, third]).toEqual([first, first]);
      expect(later!.batchId).not.toBe(first!.batchId);
      expect([countIn(first!), countIn(later!), more]).toEqual([3, 2, []]);
    },
  );

  it('sends a batch that is refused once, and says so', async () => {
    stub.answer((_seen, response) => json(response, 400, {}));
    use(1);
    await report.flush();
    await report.flush();
    expect(stub.seen).toHaveLength(1);
    expect(faults).toEqual(['The key service refused a report of usage']);
  });
});
