import type { Rule } from './rules.js';
import type { Stores } from './stores.js';

/** The times of the key service, 25 times shorter. */
const FENCE_MS = 40;
export const POLL_MS = 10;
const LATE_MS = 16;
const GRACE_MS = 400;
const ASK_WITHIN_MS = GRACE_MS + 160;
const FORGOTTEN_AFTER_MS = GRACE_MS + 60;
const SETTLE_TRIES = 5;

/** Is told what replicas answer, and holds them to the promise. */
export interface Judge {
  /** A verification went by this version. */
  answered: (startedMs: number, version: number) => void;
  /** A change returned, and is done everywhere. */
  confirmed: (version: number) => void;
}

/** A change as it was committed. */
interface Change {
  version: number;
  epoch: number;
}

/** A replica of the key service, as far as it has to do with the cache: the same steps as `fence.ts`, `mutations.ts` and the scripts take. */
export class Replica {
  private epoch = 0;
  private readAtMs = -Infinity;
  private arrived = 0;
  private isAway = false;
  /** The Redis it is connected to, and whether that may be used. */
  private run = '';
  private isAdmitted = false;
  private followedTo = 1;

  constructor(
    private readonly number: number,
    private readonly stores: Stores,
    private readonly judge: Judge,
    private readonly without: Rule | null,
  ) {}

  async pollForEver(): Promise<never> {
    for (;;) {
      await this.poll();
      await this.stores.clock.wait(POLL_MS);
    }
  }

  async verify(): Promise<void> {
    const startedMs = this.stores.clock.now;
    const epoch = this.trustedEpoch();
    const found = epoch === null ? null : await this.look(epoch, true);
    if (found?.version !== undefined) return this.judge.answered(startedMs, found.version);
    const read = await this.onDatabase(() => this.readRow());
    if (read === null) return this.verifyInGrace(startedMs);
    this.judge.answered(startedMs, read.version);
    if (found?.token) await this.onRedis('writes', () => this.fill(found.token!, read));
  }

  async change(): Promise<void> {
    const done = await this.onDatabase(() => {
      this.stores.version += 1;
      return this.readRow();
    });
    // nobody knows then whether it was done: nothing is told
    if (done !== null && (await this.confirm(done))) this.judge.confirmed(done.version);
  }

  private lacks(rule: Rule): boolean {
    return this.without === rule;
  }

  private onDatabase<T>(statement: () => T): Promise<T | null> {
    return this.stores.onDatabase(this.number, statement);
  }

  private async onRedis<T>(way: 'reads' | 'writes', script: () => T): Promise<T | null> {
    if (!this.isAdmitted) return null;
    const { run } = this;
    const answer = await this.stores.onRedis({ replica: this.number, run }, way, script);
    // a connection that is lost takes the admission with it
    if (this.stores.run !== run) this.isAdmitted = false;
    return this.run === run ? answer : null;
  }

  private readRow(): Change {
    const { version, epoch } = this.stores;
    return { version, epoch };
  }

  private trustedEpoch(): number | null {
    const ageMs = this.stores.clock.now - this.readAtMs;
    const isInTime = ageMs <= FENCE_MS || (this.isAway && ageMs <= GRACE_MS);
    return isInTime || this.lacks('fence') ? this.epoch : null;
  }

  // --- the cache

  /** The state that may be believed, or the right to fill where there is none and Redis takes writes. */
  private look(epoch: number, mayFill: boolean) {
    const { stores } = this;
    return this.onRedis('reads', () => {
      const { held } = stores;
      const isOfEpoch = held.entry?.epoch === epoch || this.lacks('epoch');
      if (held.entry && !held.entry.isMarker && isOfEpoch) return { version: held.entry.version };
      if (mayFill && stores.links[this.number]!.writes)
        held.token ??= `token ${stores.clock.now} ${stores.clock.random()}`;
      return { token: mayFill ? held.token : null };
    });
  }

  private fill(token: string, { version, epoch }: Change): void {
    const { held } = this.stores;
    if (held.token !== token && !this.lacks('lease')) return;
    held.token = null;
    const { entry } = held;
    const isNewer =
      entry !== null && (entry.epoch > epoch || (entry.epoch === epoch && entry.version > version));
    if (!isNewer) held.entry = { version, epoch, isMarker: false };
  }

  private overwrite({ version, epoch }: Change): Promise<string | null> {
    return this.onRedis('writes', () => {
      const { held, run } = this.stores;
      const { entry } = held;
      if (entry === null || entry.version < version || entry.epoch < epoch)
        held.entry = { version, epoch, isMarker: !this.lacks('marker') };
      held.token = null;
      return run;
    });
  }

  /** PostgreSQL does not answer: what the cache holds may go on for the grace. */
  private async verifyInGrace(startedMs: number): Promise<void> {
    this.isAway = true;
    const epoch = this.trustedEpoch();
    const found = epoch === null ? null : await this.look(epoch, false);
    if (found?.version !== undefined) this.judge.answered(startedMs, found.version);
  }

  // --- the fence

  private async poll(): Promise<void> {
    const { clock } = this.stores;
    if (clock.now - this.readAtMs > FORGOTTEN_AFTER_MS) await this.onDatabase(() => this.report(0));
    const startedMs = clock.now;
    const wasReadAtMs = this.readAtMs;
    clock.after(LATE_MS, () => (this.isAway ||= this.readAtMs === wasReadAtMs));
    const reading = await this.onDatabase(() => {
      this.report(this.lacks('arrived') ? this.stores.epoch : this.arrived);
      return { ...this.readRow(), listed: this.stores.listed };
    });
    if (reading === null) return void (this.isAway = true);
    this.adopt(reading.epoch);
    this.readAtMs = startedMs;
    this.arrived = this.epoch;
    this.isAway = false;
    if (!reading.listed.includes(this.run) && !this.lacks('runs')) this.isAdmitted = false;
    if (!this.isAdmitted) await this.admit();
    if (reading.version > this.followedTo && (await this.overwrite(reading)) !== null)
      this.followedTo = reading.version;
  }

  private report(epoch: number): void {
    const report = this.stores.reports[this.number]!;
    report.epoch = Math.max(report.epoch, epoch);
    report.seenMs = this.stores.clock.now;
  }

  private async admit(): Promise<void> {
    const { stores } = this;
    const { run } = stores;
    const isThere = await stores.onRedis({ replica: this.number, run }, 'reads', () => true);
    if (isThere === null) return;
    const epoch = await this.onDatabase(() => {
      if (!stores.listed.includes(run) && !this.lacks('runs')) {
        stores.epoch += 1;
        stores.listed = [run];
      }
      return stores.epoch;
    });
    if (epoch === null || stores.run !== run) return;
    this.adopt(epoch);
    [this.run, this.isAdmitted] = [run, true];
  }

  private adopt(epoch: number): void {
    this.epoch = Math.max(this.epoch, epoch);
  }

  // --- a change on its way to everybody

  private async confirm(change: Change): Promise<boolean> {
    let run = await this.overwrite(change);
    if (run === null && !this.isAdmitted) {
      await this.poll();
      run = await this.overwrite(change);
    }
    if (run === null) return this.lacks('raise') || this.raise();
    return this.vouchFor(run);
  }

  private async vouchFor(run: string): Promise<boolean> {
    const standing = await this.onDatabase(() => {
      const { epoch, listed } = this.stores;
      return { epoch, isListed: listed.includes(run), mayLag: this.mayLag(epoch) };
    });
    if (standing === null) return false;
    return standing.isListed || this.lacks('runs') ? this.settle(standing) : this.raise();
  }

  private async raise(): Promise<boolean> {
    const epoch = await this.onDatabase(() => (this.stores.epoch += 1));
    if (epoch === null) return false;
    if (!this.lacks('adopt')) this.adopt(epoch);
    return this.settle({ epoch, mayLag: true });
  }

  private async settle({ epoch, mayLag }: { epoch: number; mayLag: boolean }): Promise<boolean> {
    let isLagging: boolean | null = mayLag && !this.lacks('wait');
    for (let tries = 0; isLagging === true && tries < SETTLE_TRIES; tries += 1) {
      if (tries > 0) await this.stores.clock.wait(POLL_MS);
      isLagging = await this.onDatabase(() => this.mayLag(epoch));
    }
    return isLagging === false;
  }

  private mayLag(epoch: number): boolean {
    const { reports, clock } = this.stores;
    const withinMs = this.lacks('grace') ? FENCE_MS : ASK_WITHIN_MS;
    return reports.some(
      (one, number) =>
        number !== this.number && one.epoch < epoch && clock.now - one.seenMs < withinMs,
    );
  }
}
