import {
  createConnection,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';

/** A TCP proxy whose faults a test decides. */
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
  /** How long whatever the server sends takes from now on, in milliseconds. */
  delay: (ms: number) => void;
  close: () => Promise<void>;
}

interface Faults {
  refusing: boolean;
  silent: boolean;
  delayMs: number;
}

/**
 * Starts a proxy on a free port of 127.0.0.1.
 *
 * @param target where it leads: a connection string or base URL, of which only host and port matter
 */
export async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const faults: Faults = { refusing: false, silent: false, delayMs: 0 };
  const pairs = new Set<[Socket, Socket]>();
  const server = createServer((client) => {
    if (faults.refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = createConnection({ host: hostname, port: Number(port) });
    pairs.add([client, upstream]);
    carry(client, upstream, () => (faults.silent ? null : 0));
    carry(upstream, client, () => (faults.silent ? null : faults.delayMs));
  });
  const own = await listen(server);
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
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
    blackhole: (on) => {
      faults.silent = on;
    },
    delay: (ms) => {
      faults.delayMs = ms;
    },
    close: () => {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** Passes on what `from` sends, as late as `delayMs` says at that moment; drops it where that is null. */
function carry(from: Socket, to: Socket, delayMs: () => number | null): void {
  const later = (work: () => void): void => {
    const ms = delayMs();
    if (ms === 0) work();
    else if (ms !== null) setTimeout(work, ms);
  };
  from.on('data', (data) => later(() => to.writable && to.write(data)));
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroy());
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
