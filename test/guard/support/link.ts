import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The way from a guard to one key service, whose faults a test decides. It knows the feed from questions. */
export interface Link {
  url: string;
  /** Paths of the questions that came, in order. */
  asked: string[];
  /** The number after which each stream of the feed was begun, in order; null where it began anew. */
  feeds: (string | null)[];
  /** Whether a stream of the feed stands. */
  isFollowed: () => boolean;
  /** How many connections were tried so far. */
  tries: () => number;
  /** From now on the feed is silent; off, what was kept back is told. Nothing is broken off. */
  holdFeed: (on: boolean) => void;
  /** From now on each event of the feed is told twice, and those of before are told again after it. */
  stutter: (on: boolean) => void;
  /** From now on answers to questions are kept back, which the key service has given already; off, they arrive. */
  holdAnswers: (on: boolean) => void;
  /** How many answers are kept back now. */
  held: () => number;
  /** From now on, or no longer, every connection is broken off at once, those that stand first. */
  cut: (on: boolean) => void;
  /** Ends the streams of the feed that stand; they may be begun anew. */
  breakFeed: () => void;
  close: () => Promise<void>;
}

interface Faults {
  feed: boolean;
  stutter: boolean;
  answers: boolean;
  cut: boolean;
}

/** Starts a link to the server at `target`. */
export async function startLink(target: string): Promise<Link> {
  const agent = new Agent({ keepAlive: true });
  const faults: Faults = { feed: false, stutter: false, answers: false, cut: false };
  const asked: string[] = [];
  const feeds: (string | null)[] = [];
  const kept = { feed: new Set<() => void>(), answers: new Set<() => void>() };
  const streams = new Set<ServerResponse>();
  let tries = 0;
  const server = createServer((from, to) => {
    if (faults.cut) {
      from.socket.destroy();
      return;
    }
    const isFeed = from.url === '/v1/changes';
    if (isFeed) feeds.push(String(from.headers['last-event-id'] ?? '') || null);
    else asked.push(from.url ?? '');
    const { method, headers } = from;
    const onward = request(
      new URL(from.url ?? '', target),
      { method, headers, agent },
      (answer) => {
        if (isFeed) carryFeed(answer, to, { faults, kept: kept.feed, streams });
        else carryAnswer(answer, to, { faults, kept: kept.answers });
      },
    );
    onward.on('error', () => to.destroy());
    to.on('close', () => onward.destroy());
    from.pipe(onward);
  });
  server.on('connection', () => (tries += 1));
  const letGo = (waiting: Set<() => void>): void => {
    for (const go of waiting) go();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    feeds,
    isFollowed: () => streams.size > 0,
    tries: () => tries,
    holdFeed: (on) => {
      faults.feed = on;
      letGo(kept.feed);
    },
    stutter: (on) => (faults.stutter = on),
    holdAnswers: (on) => {
      faults.answers = on;
      letGo(kept.answers);
    },
    held: () => kept.answers.size,
    cut: (on) => {
      faults.cut = on;
      if (on) server.closeAllConnections();
    },
    breakFeed: () => streams.forEach((one) => one.destroy()),
    close: async () => {
      server.closeAllConnections();
      agent.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Carried {
  faults: Faults;
  kept: Set<() => void>;
}

function carryFeed(
  answer: IncomingMessage,
  to: ServerResponse,
  { faults, kept, streams }: Carried & { streams: Set<ServerResponse> },
): void {
  to.writeHead(answer.statusCode ?? 502, answer.headers);
  to.flushHeaders();
  streams.add(to);
  const waiting: string[] = [];
  let before = '';
  const pump = (): void => {
    while (!faults.feed && waiting.length > 0) {
      const piece = waiting.shift()!;
      to.write(faults.stutter ? `${piece}${before}${piece}` : piece);
      before = `${before}${piece}`.slice(-10_000).replace(/^[^]*?(?=event: )/, '');
    }
  };
  kept.add(pump);
  answer.setEncoding('utf8').on('data', (piece: string) => {
    waiting.push(piece);
    pump();
  });
  answer.on('end', () => to.end());
  to.on('close', () => {
    kept.delete(pump);
    streams.delete(to);
    answer.destroy();
  });
}

function carryAnswer(answer: IncomingMessage, to: ServerResponse, { faults, kept }: Carried): void {
  const chunks: Buffer[] = [];
  answer.on('data', (chunk: Buffer) => chunks.push(chunk));
  answer.on('end', () => {
    const go = (): void => {
      if (faults.answers) return;
      kept.delete(go);
      to.writeHead(answer.statusCode ?? 502, answer.headers).end(Buffer.concat(chunks));
    };
    kept.add(go);
    go();
  });
}
