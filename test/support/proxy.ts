import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

/** A TCP proxy whose faults a test decides. Whatever it holds back or delays arrives whole and in order later on, but for the end of a connection that the other side ended meanwhile: that is lost, as on a network. */
export interface Proxy {
  host: string;
  port: number;
  /** `url` with this proxy in the place of its host and port. */
  through: (url: string) => string;
  /** Breaks every connection there is, with a reset. New ones are taken. */
  cut: () => void;
  /** From now on new connections are reset at once, or no longer. Those that stand are cut. */
  refuse: (on: boolean) => void;
  /** From now on nothing passes in either direction, and nothing is broken either: a network that drops packets. */
  blackhole: (on: boolean) => void;
  /** From now on the server hears everything and its answers are kept; off, they arrive. */
  hold: (on: boolean) => void;
  /** How long whatever the server sends takes from now on, in milliseconds. */
  delay: (ms: number) => void;
  close: () => Promise<void>;
}

interface Faults {
  refusing: boolean;
  silent: boolean;
  holding: boolean;
  delayMs: number;
}

/** One direction of one connection. */
interface Carrier {
  /** Passes on what may pass now. */
  pump: () => void;
  sockets: [Socket, Socket];
}

/** More that a proxy does. */
export interface ProxyOptions {
  /** For each connection a function that has what the server sends, piece by piece, and says what the client gets. */
  answers?: () => (data: Buffer) => Buffer;
}

/**
 * Starts a proxy on a free port of 127.0.0.1.
 *
 * @param target where it leads: a connection string or base URL, of which only host and port matter
 */
export async function startProxy(
  target: string,
  { answers = () => asItIs }: ProxyOptions = {},
): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const faults: Faults = { refusing: false, silent: false, holding: false, delayMs: 0 };
  const carriers = new Set<Carrier>();
  const add = (from: Socket, to: Socket, how: Carriage): void => {
    const carrier = carry(from, to, how);
    carriers.add(carrier);
    from.on('close', () => carriers.delete(carrier));
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (faults.refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = createConnection({ host: hostname, port: Number(port), noDelay: true });
    const questionMs = () => (faults.silent ? Infinity : 0);
    const answerMs = () => (faults.silent || faults.holding ? Infinity : faults.delayMs);
    add(client, upstream, { waitMs: questionMs, change: asItIs });
    add(upstream, client, { waitMs: answerMs, change: answers() });
  });
  const own = await listen(server);
  const cut = (): void => {
    for (const { sockets } of carriers) sockets.forEach(reset);
  };
  const change = (next: Partial<Faults>): void => {
    Object.assign(faults, next);
    for (const carrier of carriers) carrier.pump();
  };
  return {
    host: '127.0.0.1',
    port: own,
    through: (url) => throughPort(url, own),
    cut,
    refuse: (on) => {
      faults.refusing = on;
      if (on) cut();
    },
    blackhole: (on) => change({ silent: on }),
    hold: (on) => change({ holding: on }),
    delay: (ms) => change({ delayMs: ms }),
    close: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** How one direction is carried. */
interface Carriage {
  /** How long after it came a piece is passed on, asked when its turn comes. */
  waitMs: () => number;
  change: (data: Buffer) => Buffer;
}

const asItIs = (data: Buffer): Buffer => data;

/** Passes on what `from` sends, in order. */
function carry(from: Socket, to: Socket, { waitMs, change }: Carriage): Carrier {
  const waiting: { work: () => void; sinceMs: number }[] = [];
  let timer: NodeJS.Timeout | undefined;
  const pump = (): void => {
    clearTimeout(timer);
    for (let head = waiting[0]; head !== undefined; head = waiting[0]) {
      const leftMs = head.sinceMs + waitMs() - performance.now();
      if (leftMs > 0) {
        if (leftMs !== Infinity) timer = setTimeout(pump, leftMs);
        return;
      }
      waiting.shift();
      head.work();
    }
  };
  const add = (work: () => void): void => {
    waiting.push({ work, sinceMs: performance.now() });
    pump();
  };
  from.on('data', (data) => {
    const changed = change(data);
    add(() => to.writable && to.write(changed));
  });
  from.on('end', () => add(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => add(() => to.destroy()));
  return { pump, sockets: [from, to] };
}

/** Node leaves a socket half closed for ever that is reset twice, or after its end was sent. */
function reset(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function throughPort(url: string, port: number): string {
  const other = new URL(url);
  other.hostname = '127.0.0.1';
  other.port = String(port);
  return other.href;
}
