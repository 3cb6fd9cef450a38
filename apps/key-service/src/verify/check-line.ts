import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { RedisLink, Script } from '../redis-link.js';

const TOKEN_TTL_MS = 5_000;
/** Redis serves nobody else while a script runs: about a millisecond for so many. */
const MOST_TOGETHER = 100;

/** What {@link CheckLine} sends for one verification; see `check.lua`. */
export interface CheckCall {
  names: readonly string[];
  args: readonly (string | number)[];
}

export type SpentReply = [1, number, number, ...number[]];

/** What the script answers for one: an entry's text, what was spent, or the right to fill. */
export type CheckReply = string | SpentReply | [0, string];

/** Called once, with null where Redis is not to be used, or refused, or did not answer in time. */
export type OnCheckReply = (reply: CheckReply | null) => void;

/** What goes together. */
interface Load {
  /** Of the servers that were admitted when the first was asked. */
  runs: readonly string[];
  names: string[];
  args: (string | number)[];
  waiting: OnCheckReply[];
}

/**
 * Takes verifications to Redis: all that are asked in one turn of the event loop in one command, which costs each of them
 * little. On a cluster, where a command is about one slot, each goes in its own.
 */
export class CheckLine {
  private readonly script: Script;
  private readonly mostTogether: number;
  private readonly tokenPrefix = randomBytes(12).toString('base64url');
  private loads = 0;
  private open: Load | null = null;

  constructor(private readonly link: RedisLink) {
    const lua = readFileSync(new URL('./check.lua', import.meta.url), 'utf8');
    this.script = link.script(lua, { isBundle: true });
    this.mostTogether = link.isCluster ? 1 : MOST_TOGETHER;
  }

  /** Asks servers with these run ids, or nobody. */
  ask({ names, args }: CheckCall, runs: readonly string[], done: OnCheckReply): void {
    let load = this.open;
    if (load === null || load.runs !== runs || load.waiting.length >= this.mostTogether)
      load = this.begin(runs);
    for (const name of names) load.names.push(name);
    for (const arg of args) load.args.push(arg);
    load.waiting.push(done);
  }

  private begin(runs: readonly string[]): Load {
    this.loads += 1;
    // unlike any token of another process, and any other of this one
    const args = [`${this.tokenPrefix}${this.loads}`, TOKEN_TTL_MS];
    const load = { runs, names: [], args, waiting: [] };
    this.open = load;
    setImmediate(() => void this.send(load));
    return load;
  }

  private async send(load: Load): Promise<void> {
    const { runs, names, args, waiting } = load;
    if (this.open === load) this.open = null;
    const done =
      this.link.runs === runs ? await this.script<(CheckReply | Error)[]>(names, args) : null;
    for (let i = 0; i < waiting.length; i += 1) waiting[i]!(this.replyOf(done?.answer[i]));
  }

  private replyOf(reply: CheckReply | Error | undefined): CheckReply | null {
    if (reply instanceof Error) this.link.noteRefusal(reply);
    return reply === undefined || reply instanceof Error ? null : reply;
  }
}
