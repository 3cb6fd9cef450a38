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

  it('waits no longer for a silent server at its end, however often it was to report before', async () => {
    stub.answer(() => undefined);
    // as each second does
    for (let i = 0; i < 20; i += 1) {
      use(1);
      void report.flush();
    }
    await report.stop();
    expect(stub.seen.length).toBeLessThanOrEqual(2);
    expect(faults).toContain('Counts of usage could not be reported');
    // nothing waits to be sent after the end
    keyService.close();
    const sent = stub.seen.length;
    await report.flush();
    expect(stub.seen).toHaveLength(sent);
  });

  it('sends what is counted while a report is under way in one more after it', async () => {
    const held: ServerResponse[] = [];
    stub.answer((_seen, response) => void held.push(response));
    use(1);
    const first = report.flush();
    while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    use(2);
    const later = [report.flush(), report.flush()];
    use(3);
    stub.answer((_seen, response) => json(response, 200, taken));
    json(held[0]!, 200, taken);
    await Promise.all([first, ...later]);
    expect(batches().map(countIn)).toEqual([1, 5]);
  });
});
