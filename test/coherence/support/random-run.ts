import type { Cluster, Replica } from './cluster.js';
import type { Stores } from './stores.js';
import { KeyRegister, readOf, type Rights } from './register.js';
import { sleep, type World } from './world.js';

/** What a random run did and found. */
export interface RandomRun {
  seed: number;
  seconds: number;
  verifications: number;
  byCode: Record<string, number>;
  changes: number;
  confirmed: number;
  unconfirmed: number;
  /** Changes of which nobody knows whether they were done: the answer was no answer, or 503. */
  uncertain: number;
  /** Verifications that a replica was killed over. */
  unanswered: number;
  keys: number;
  faults: Record<string, number>;
  /** Answers that must not be, in words. */
  violations: string[];
}

interface Subject {
  id: string;
  register: KeyRegister;
  /** Texts by number of the secret, from 1. */
  secrets: (string | null)[];
}

/** Something that goes wrong for a while. */
export interface Fault {
  /** Makes it; the function that it returns takes it away. */
  make: (replica: number) => Promise<() => Promise<void> | void>;
  longestMs: number;
  /** What it takes for itself: of the faults of one such thing there is one at a time. */
  takes?: 'Redis' | 'a process';
}

/** So many faults may be there at the same time. */
const FAULTS_AT_ONCE = 2;
const SUBJECTS = 5;
const READERS_PER_REPLICA = 3;
const LONGEST_MS = 3_000;

/** Numbers in [0, 1) that a seed decides. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Creates, changes and asks about keys at random on all replicas while links, Redis and its contents fail at random, and
 * holds every single answer to the history of its key as a linearisable register.
 */
export class RandomRunner {
  private readonly random: () => number;
  private readonly subjects: Subject[] = [];
  /** Keys that no change is made to any more, but that are still asked about. */
  private readonly retired: Subject[] = [];
  private readonly result: RandomRun;
  private readonly taken = new Set<string>();
  private endMs = 0;
  private lastMs = 0;
  private leastConfirmed = 0;

  constructor(
    private readonly cluster: Cluster<Stores>,
    private readonly world: World,
    private readonly chance: { seed: number; faults: Record<string, Fault> },
  ) {
    const { seed } = chance;
    this.random = randomOf(seed);
    this.result = {
      ...{ seed, seconds: 0, verifications: 0, byCode: {}, changes: 0, confirmed: 0 },
      ...{ unconfirmed: 0, uncertain: 0, unanswered: 0, keys: 0, faults: {}, violations: [] },
    };
  }

  /**
   * Runs for so long, or to the first violation; on, to three times that at most, where chance let fewer changes be confirmed than
   * it takes to see anything: of those that meet a dead replica none is for a while.
   */
  async run(seconds: number, leastConfirmed: number): Promise<RandomRun> {
    const startedMs = performance.now();
    this.endMs = startedMs + seconds * 1_000;
    this.lastMs = startedMs + 3 * seconds * 1_000;
    this.leastConfirmed = leastConfirmed;
    const replicas = this.cluster.replicas.map((_, replica) => replica);
    await Promise.all([
      ...Array.from({ length: SUBJECTS }, (_, place) => this.mutate(place)),
      ...replicas.flatMap((replica) =>
        Array.from({ length: READERS_PER_REPLICA }, () => this.read(replica)),
      ),
      ...Array.from({ length: FAULTS_AT_ONCE }, () => this.disturb()),
    ]);
    this.result.seconds = Math.round((performance.now() - startedMs) / 1_000);
    return this.result;
  }

  private get isOver(): boolean {
    const { violations, confirmed } = this.result;
    const endMs = confirmed < this.leastConfirmed ? this.lastMs : this.endMs;
    return performance.now() > endMs || violations.length > 0;
  }

  private pick(count: number): number {
    return Math.floor(this.random() * count);
  }

  /** One key after the other, one change at a time. */
  private async mutate(place: number): Promise<void> {
    while (!this.isOver) {
      const subject = await this.create();
      if (subject === null) continue;
      this.subjects[place] = subject;
      let isGoingOn = true;
      while (isGoingOn && !this.isOver) {
        await sleep(this.pick(150));
        isGoingOn = await this.change(subject);
      }
      this.retired.push(subject);
      if (this.retired.length > 20) this.retired.shift();
    }
  }

  private async create(): Promise<Subject | null> {
    const replica = this.pick(this.cluster.replicas.length);
    try {
      const { key, secret } = await this.world.issue({}, replica);
      this.result.keys += 1;
      const register = new KeyRegister(performance.now());
      return { id: key.id, register, secrets: [null, secret] };
    } catch {
      await sleep(100);
      return null;
    }
  }

  /** @returns whether more may be done to this key: not where it is revoked, or nobody knows what became of the change */
  private async change(subject: Subject): Promise<boolean> {
    const { register, id } = subject;
    const replica = this.pick(this.cluster.replicas.length);
    const order = this.orderFor(register.latest);
    const done = register.begin(order.rights, performance.now());
    const answer = await order.send(this.world, replica, id);
    this.result.changes += 1;
    this.noteSlow(`a change: ${order.name}`, answer);
    if (answer.status === 200) {
      const { bound, secret } = toldOf(answer);
      this.result[bound === 0 ? 'confirmed' : 'unconfirmed'] += 1;
      if (secret !== undefined) subject.secrets.push(secret);
      done(answer.endedMs + bound * 1_000);
      return register.latest.state !== 'revoked';
    }
    if (answer.status === 409) {
      register.undo();
      return true;
    }
    const isKnown = answer.status === 503 || this.wasAway(replica, answer);
    if (!isKnown) this.result.violations.push(`${order.name} of ${id}: ${answer.status}`);
    this.result.uncertain += 1;
    return false;
  }

  private orderFor(latest: Rights): Order {
    const dice = this.random();
    if (dice < 0.06) return REVOKE;
    if (dice < 0.2 && latest.state === 'active') return rotateTo(latest.secret + 1);
    if (dice < 0.6) return latest.state === 'active' ? DISABLE : ENABLE;
    return latest.mayWrite ? TAKE_SCOPE : GIVE_SCOPE;
  }

  private async read(replica: number): Promise<void> {
    while (!this.isOver) {
      const all = [...this.subjects.filter(Boolean), ...this.retired];
      const subject = all[this.pick(all.length)];
      if (subject !== undefined) await this.ask(subject, replica);
      await sleep(this.pick(8));
    }
  }

  private async ask(subject: Subject, replica: number): Promise<void> {
    const last = subject.secrets.length - 1;
    const number = Math.max(1, last - this.pick(2));
    const question = { scopes: ['reports:write'] };
    const answer = await this.world.verify(replica, subject.secrets[number]!, question);
    if (this.wasAway(replica, answer)) {
      this.result.unanswered += 1;
      return sleep(100);
    }
    const read = readOf(answer, replica, number);
    this.result.verifications += 1;
    this.result.byCode[read.code] = (this.result.byCode[read.code] ?? 0) + 1;
    this.noteSlow('a verification', answer);
    const wrong = subject.register.wrongIn(read);
    if (wrong !== null) this.result.violations.push(`${subject.id}: ${wrong}`);
  }

  /** Whether there is no answer because the replica was killed. */
  private wasAway(replica: number, { status, startedMs }: { status: number; startedMs: number }) {
    return status === 0 && this.cluster.replicas[replica]!.wasAwaySince(startedMs);
  }

  private noteSlow(what: string, { tookMs }: { tookMs: number }) {
    // changes have a time to be committed and one to reach everybody
    if (tookMs > (what === 'a verification' ? 1 : 2) * LONGEST_MS)
      this.result.violations.push(`${what} took ${Math.round(tookMs)} ms`);
  }

  private async disturb(): Promise<void> {
    const faults = Object.entries(this.chance.faults);
    while (!this.isOver) {
      await sleep(100 + this.pick(700));
      const [name, fault] = faults[this.pick(faults.length)]!;
      const { takes = name } = fault;
      if (this.taken.has(takes)) continue;
      this.taken.add(takes);
      this.result.faults[name] = (this.result.faults[name] ?? 0) + 1;
      const end = await fault.make(this.pick(this.cluster.replicas.length));
      await sleep(this.pick(fault.longestMs));
      await end();
      this.taken.delete(takes);
    }
  }
}

interface Order {
  name: string;
  rights: Partial<Rights>;
  send: (
    world: World,
    replica: number,
    id: string,
  ) => Promise<{
    status: number;
    body: object;
    headers: Record<string, unknown>;
    startedMs: number;
    endedMs: number;
    tookMs: number;
  }>;
}

const grant = (...scopes: string[]) => ({ grants: [{ service: 'service-a', scopes }] });
const REVOKE: Order = {
  name: 'revoke',
  rights: { state: 'revoked' },
  send: (world, replica, id) => world.revoke(replica, id),
};
const DISABLE: Order = {
  name: 'disable',
  rights: { state: 'disabled' },
  send: (world, replica, id) => world.switch(replica, id, 'disable'),
};
const ENABLE: Order = {
  name: 'enable',
  rights: { state: 'active' },
  send: (world, replica, id) => world.switch(replica, id, 'enable'),
};
const TAKE_SCOPE: Order = {
  name: 'take a scope',
  rights: { mayWrite: false },
  send: (world, replica, id) => world.patch(replica, id, grant('reports:read')),
};
const GIVE_SCOPE: Order = {
  name: 'give a scope',
  rights: { mayWrite: true },
  send: (world, replica, id) => world.patch(replica, id, grant('reports:read', 'reports:write')),
};

function rotateTo(secret: number): Order {
  return {
    name: 'rotate',
    rights: { secret },
    send: (world, replica, id) => world.rotate(replica, id, 0),
  };
}

/** For how many seconds the old rights may still be seen, and the new secret where there is one. */
function toldOf({ body, headers }: { body: object; headers: Record<string, unknown> }) {
  const { propagation, secret } = body as {
    propagation?: { boundSeconds: number };
    secret?: string;
  };
  const header = headers['keyward-propagation'];
  const told = typeof header === 'string' ? /bound=(\d+)/.exec(header)?.[1] : undefined;
  const bound = propagation?.boundSeconds ?? Number(told ?? 0);
  return { bound, secret };
}

/** Everything that may happen to PostgreSQL and Redis, to the links to them, and to the replicas. */
export function faultsOf({ replicas, redis }: Cluster): Record<string, Fault> {
  const allow = (rights: string) =>
    redis.each((admin) => admin.call('ACL', 'SETUSER', 'default', rights));
  return {
    FLUSHALL: once(() => redis.each((admin) => admin.flushall())),
    'evict everything of the keys': once(() =>
      redis.each(async (admin) => {
        const names = await admin.keys('kw:{*}:rec');
        await Promise.all(names.map((name) => admin.del(name)));
      }),
    ),
    dump: once(() => redis.dump()),
    'restart Redis with the last dump': {
      longestMs: 600,
      takes: 'Redis',
      make: async () => {
        await redis.stop();
        return () => redis.start();
      },
    },
    'refuse writes': {
      longestMs: 1_500,
      takes: 'Redis',
      make: async () => {
        await allow('-@write');
        return () => allow('+@all');
      },
    },
    'cut Redis': linkFault(replicas, ['redis', 'refuse'], 1_500),
    'silence Redis': linkFault(replicas, ['redis', 'blackhole'], 800),
    'hold answers of Redis': linkFault(replicas, ['redis', 'hold'], 300),
    'kill a replica': {
      longestMs: 500,
      takes: 'a process',
      make: async (replica) => {
        await replicas[replica]!.kill();
        return () => replicas[replica]!.start();
      },
    },
    'cut PostgreSQL': linkFault(replicas, ['postgres', 'refuse'], 2_500),
    'silence PostgreSQL': linkFault(replicas, ['postgres', 'blackhole'], 1_500),
    'hold answers of PostgreSQL': linkFault(replicas, ['postgres', 'hold'], 800),
    'cut all from PostgreSQL': {
      longestMs: 800,
      make: async () => {
        for (const { postgres } of replicas) postgres.refuse(true);
        return () => replicas.forEach(({ postgres }) => postgres.refuse(false));
      },
    },
  };
}

/** A fault of Redis itself that is over at once. */
function once(work: () => Promise<unknown>): Fault {
  return {
    longestMs: 1,
    takes: 'Redis',
    make: async () => {
      await work();
      return () => undefined;
    },
  };
}

function linkFault(
  replicas: readonly Replica[],
  [link, way]: ['postgres' | 'redis', 'refuse' | 'blackhole' | 'hold'],
  longestMs: number,
): Fault {
  return {
    longestMs,
    make: async (replica) => {
      const proxy = replicas[replica]![link];
      proxy[way](true);
      return () => proxy[way](false);
    },
  };
}
