import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { fork } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { startPostgres } from './support/postgres.js';
import { startProxy, type Proxy } from './support/proxy.js';
import { startRedis } from './support/redis.js';
import { tempDir } from './support/temp-dir.js';

describe('servers of the platform', () => {
  it('PostgreSQL comes back on its port with its data', async () => {
    const postgres = await startPostgres();
    try {
      await postgres.query('CREATE TABLE kept AS SELECT 42 AS answer');
      await postgres.stop();
      await expect(postgres.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await postgres.start();
      await expect(postgres.query('SELECT answer FROM kept')).resolves.toEqual([{ answer: 42 }]);
    } finally {
      await postgres.remove();
    }
  });

  it('PostgreSQL takes nobody without a password, and listens on the loopback address only', async () => {
    const postgres = await startPostgres();
    try {
      const { username } = new URL(postgres.url);
      const stranger = new Client({ connectionString: postgres.urlFor(username, 'guess') });
      await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' });
      await expect(postgres.query('SHOW listen_addresses')).resolves.toEqual([
        { listen_addresses: '127.0.0.1' },
      ]);
    } finally {
      await postgres.remove();
    }
  });

  it('Redis takes nobody without a password', async () => {
    const redis = await startRedis();
    try {
      const { port, password } = new URL(redis.url);
      expect(await redisSays(Number(port), 'PING')).toMatch(/^-NOAUTH/);
      expect(await redisSays(Number(port), `AUTH ${password}`)).toBe('+OK');
      await redis.stop();
      await expect(redisSays(Number(port), 'PING')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await redis.start();
      expect(await redisSays(Number(port), `AUTH ${password}`)).toBe('+OK');
    } finally {
      await redis.remove();
    }
  });

  it('end with the process that started them, however that ends', async () => {
    const dir = tempDir();
    const script = join(dir.path, 'owner.mjs');
    const support = (name: string) => JSON.stringify(fileURLToPath(new URL(name, import.meta.url)));
    writeFileSync(
      script,
      `import { startPostgres } from ${support('./support/postgres.js')};
       import { startRedis } from ${support('./support/redis.js')};
       process.send([(await startPostgres()).url, (await startRedis()).url]);`,
    );
    const owner = fork(script, [], { execArgv: [], env: { ...process.env, TMPDIR: dir.path } });
    try {
      const [urls] = (await once(owner, 'message')) as [string[]];
      const ports = urls.map((url) => Number(new URL(url).port));
      for (const port of ports) await expect(isUp(port)).resolves.toBe(true);
      owner.kill('SIGKILL');
      for (const port of ports) await untilDown(port);
    } finally {
      owner.kill('SIGKILL');
      dir.remove();
    }
  });

  it('keep what is theirs to themselves', async () => {
    const redis = await startRedis();
    const postgres = await startPostgres();
    try {
      const [row] = await postgres.query<{ dir: string }>('SHOW data_directory');
      const dir = Object.values(row ?? {})[0] as string;
      expect(existsSync(dir)).toBe(true);
      expect(statSync(dir).mode & 0o077).toBe(0);
      expect(statSync(join(dir, '..')).mode & 0o077).toBe(0);
    } finally {
      await redis.remove();
      await postgres.remove();
    }
  });
});

describe('a proxy', () => {
  let echo: Server;
  let proxy: Proxy;
  beforeAll(async () => {
    echo = createServer((socket) => socket.pipe(socket).on('error', () => socket.destroy()));
    await once(echo.listen(0, '127.0.0.1'), 'listening');
    proxy = await startProxy(`tcp://127.0.0.1:${(echo.address() as AddressInfo).port}`);
  });
  afterAll(async () => {
    await proxy.close();
    echo.close();
  });

  async function open(): Promise<Socket> {
    const socket = connect(proxy.port, proxy.host);
    await once(socket, 'connect');
    return socket.on('error', () => undefined);
  }

  it('passes everything on, both ways', async () => {
    const socket = await open();
    socket.write('hello');
    await expect(once(socket, 'data').then(String)).resolves.toBe('hello');
    socket.destroy();
  });

  it('cuts what stands, and takes new connections', async () => {
    const socket = await open();
    socket.write('hello');
    await once(socket, 'data');
    proxy.cut();
    await closed(socket);
    const next = await open();
    next.write('again');
    await expect(once(next, 'data').then(String)).resolves.toBe('again');
    next.destroy();
  });

  it('refuses and takes again', async () => {
    proxy.refuse(true);
    const socket = connect(proxy.port, proxy.host).on('error', () => undefined);
    await closed(socket);
    expect(socket.bytesRead).toBe(0);
    proxy.refuse(false);
    const next = await open();
    next.write('hello');
    await expect(once(next, 'data').then(String)).resolves.toBe('hello');
    next.destroy();
  });

  it('lets nothing through while it is silent, breaks nothing, and hands it on afterwards as TCP would', async () => {
    const socket = await open();
    socket.write('one');
    await once(socket, 'data');
    proxy.blackhole(true);
    const other = await open();
    socket.write('two');
    // By the time a second connection has been through a whole round trip of its own, the first write has been handled.
    other.end();
    await closed(other);
    expect(socket.bytesRead).toBe(3);
    proxy.blackhole(false);
    await expect(once(socket, 'data').then(String)).resolves.toBe('two');
    socket.destroy();
  });

  it('holds back what the server says, and lets it go in order', async () => {
    const socket = await open();
    proxy.hold(true);
    socket.write('one');
    proxy.delay(100);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(socket.bytesRead).toBe(0);
    proxy.hold(false);
    socket.write('two');
    await new Promise((resolve) => setTimeout(resolve, 10));
    proxy.delay(0);
    let text = '';
    for await (const data of socket) if ((text += String(data)).length === 6) break;
    expect(text).toBe('onetwo');
    socket.destroy();
  });

  it('leads a connection string to itself', () => {
    expect(proxy.through('postgresql://user:pw@db:5432/keyward?x=y')).toBe(
      `postgresql://user:pw@127.0.0.1:${proxy.port}/keyward?x=y`,
    );
  });
});

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('close', () => resolve());
  });
}

async function redisSays(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    socket.write(`${command}\r\n`);
    const [data] = (await once(socket, 'data')) as [Buffer];
    return data.toString().trim();
  } finally {
    socket.destroy();
  }
}

function isUp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function untilDown(port: number): Promise<void> {
  while (await isUp(port)) await new Promise((resolve) => setTimeout(resolve, 50));
}
