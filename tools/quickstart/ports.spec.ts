import { createServer, type AddressInfo, type Server } from 'node:net';
import { checkPorts, freePort, portNear } from './ports.js';

describe('ports', () => {
  let server: Server;
  let taken: number;
  beforeAll(async () => {
    server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    taken = (server.address() as AddressInfo).port;
  });
  afterAll(() => server.close());

  it('a taken port is one line that names port and variable', async () => {
    const ports = { LOGIN_PORT: await freePort(), KEY_SERVICE_PORT: taken };
    await expect(checkPorts(ports, '127.0.0.1')).rejects.toThrow(
      `Port ${taken} on 127.0.0.1 is taken; set KEY_SERVICE_PORT to a free one`,
    );
  });

  it('of several that are taken each is named', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => {
      other.listen(0, '127.0.0.1', resolve);
    });
    const { port } = other.address() as AddressInfo;
    const ports = { LOGIN_PORT: taken, KEY_SERVICE_PORT: await freePort(), SERVICE_A_PORT: port };
    await expect(checkPorts(ports, '127.0.0.1')).rejects.toThrow(
      `Ports ${taken}, ${port} on 127.0.0.1 are taken; set LOGIN_PORT, SERVICE_A_PORT to free ones`,
    );
    await new Promise((resolve) => other.close(resolve));
  });

  it('two apps do not get one port', async () => {
    const port = await freePort();
    await expect(
      checkPorts({ LOGIN_PORT: port, SERVICE_A_PORT: port }, '127.0.0.1'),
    ).rejects.toThrow(`LOGIN_PORT and SERVICE_A_PORT are both ${port}; give each its own`);
  });

  it('no port is given to two, though neither listens yet', async () => {
    const ports = await Promise.all(Array.from({ length: 300 }, freePort));
    expect(new Set(ports).size).toBe(300);
  });

  /** A port that was free a moment ago and that nobody was given. */
  const untaken = async (): Promise<number> => {
    const one = createServer();
    await new Promise<void>((resolve) => {
      one.listen(0, '127.0.0.1', resolve);
    });
    const { port } = one.address() as AddressInfo;
    await new Promise((resolve) => one.close(resolve));
    return port;
  };

  it('a remembered port is kept while it is free and replaced when it is not', async () => {
    const free = await untaken();
    expect(await portNear(free)).toBe(free);
    expect(await portNear(taken)).not.toBe(taken);
  });

  it('a remembered port is not used where an app that has yet to start is to have it, nor by two stores', async () => {
    const [asked, remembered] = [await untaken(), await untaken()];
    await checkPorts({ SERVICE_A_PORT: asked }, '127.0.0.1');
    expect(await portNear(asked)).not.toBe(asked);
    const [first, second] = await Promise.all([portNear(remembered), portNear(remembered)]);
    expect(first).toBe(remembered);
    expect(second).not.toBe(remembered);
  });
});
