import { startProxy, type Proxy } from '../../support/proxy.js';
import type { SomeRedis } from './stores.js';

/** A way to a store of one server or several that a test can break, all of it at a time. */
export type Link = Omit<Proxy, 'host' | 'port'>;

/** Where a server of a set names another, or itself: to be gone to, in an error of a cluster, in its map, by a Sentinel. */
const NAMED = /(127\.0\.0\.1(?::|\r\n:|\r\n\$5\r\n)|\r\n\$4\r\nport\r\n\$5\r\n)(\d{5})(?!\d)/g;

/** A link of its own for one replica, to every server of a Redis: where servers name each other it names their links instead. */
export async function startRedisLinks({ ports }: Pick<SomeRedis, 'ports'>): Promise<Link> {
  const links = new Map<string, Proxy>();
  const answers = () => renamed((port) => String(links.get(port)?.port ?? port));
  const all = await Promise.all(
    ports.map((port) =>
      startProxy(`redis://127.0.0.1:${port}`, ports.length > 1 ? { answers } : {}),
    ),
  );
  for (const [i, port] of ports.entries()) links.set(String(port), all[i]!);
  return {
    through: (url) =>
      url.replace(/127\.0\.0\.1:(\d+)/g, (_, port: string) => `127.0.0.1:${links.get(port)!.port}`),
    cut: () => all.forEach((one) => one.cut()),
    refuse: (on) => all.forEach((one) => one.refuse(on)),
    blackhole: (on) => all.forEach((one) => one.blackhole(on)),
    hold: (on) => all.forEach((one) => one.hold(on)),
    delay: (ms) => all.forEach((one) => one.delay(ms)),
    close: async () => void (await Promise.all(all.map((one) => one.close()))),
  };
}

/** Of one connection: passes on what ends with a line, as every answer does, with other ports of as many digits in it. */
function renamed(portFor: (port: string) => string): (data: Buffer) => Buffer {
  let text = '';
  return (data) => {
    text += data.toString('latin1');
    if (!text.endsWith('\r\n') || /(127\.0\.0\.1|port)\r\n(\$5\r\n)?$/.test(text))
      return Buffer.alloc(0);
    const whole = text.replace(NAMED, (_, before: string, port: string) => before + portFor(port));
    text = '';
    return Buffer.from(whole, 'latin1');
  };
}
