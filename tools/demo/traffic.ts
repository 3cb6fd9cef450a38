import { call, type Call } from '../quickstart/http.js';

/** How the requests went. */
export interface Counts {
  sent: number;
  good: number;
  /** What each of the others was answered, or why it was not. */
  failures: string[];
}

/** Requests that go on until they are stopped. */
export interface Traffic {
  /** How they went so far; those under way are not counted. */
  counts: () => Counts;
  /** Sends no more, and waits for the answers to those under way. */
  stop: () => Promise<void>;
}

/** Sends the same request again and again, whether those before are answered or not; good is what is answered 200. */
export function startTraffic(url: string, request: Call, perSecond: number): Traffic {
  const underWay = new Set<Promise<void>>();
  const counts: Counts = { sent: 0, good: 0, failures: [] };
  const send = async (): Promise<void> => {
    try {
      const { status, body } = await call(url, request);
      counts.sent += 1;
      if (status === 200) counts.good += 1;
      else counts.failures.push(`${status} ${JSON.stringify(body)}`);
    } catch (error) {
      counts.sent += 1;
      counts.failures.push((error as Error).message);
    }
  };
  const timer = setInterval(() => {
    const one = send().finally(() => underWay.delete(one));
    underWay.add(one);
  }, 1_000 / perSecond);
  return {
    counts: () => ({ ...counts, failures: [...counts.failures] }),
    stop: async () => {
      clearInterval(timer);
      await Promise.all(underWay);
    },
  };
}
