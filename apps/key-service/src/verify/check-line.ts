import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import type { Answered, Bundle, RedisLink, Script } from '../redis-link.js';
import { wireOf, type Wire } from '../redis-wire.js';
import { inOnePiece } from './kept-texts.js';

const TOKEN_TTL_MS = 5_000;
/** Redis serves nobody else while a script runs: about a millisecond for so many. */
const MOST_TOGETHER = 100;

/** What {@link CheckLine} sends for one verification; see `check.lua`. */
export interface CheckCall {
  names: readonly string[];
  args: readonly (string | number)[];
}

/** A call as it is sent: to a single server as text, to a cluster as it is. */
export type PreparedCall = Wire | CheckCall;

export type SpentReply = [1, number, number, ...number[]];

/** What the script answers for one: an entry's text, what was spent, or the right to fill. */
export type CheckReply = string | SpentReply | [0, string];

/** The same as it comes, or that Redis refused it. */
type RawReply = string | Buffer | SpentReply | [0, string | Buffer] | Error;

/**
 * Called once, with null where Redis is not to be used, or refused, or did not answer in time; and with the place that the
 * question was asked with. Must not throw: others of the same load are still to be told.
 */
export type OnCheckReply = (reply: CheckReply | null, place: number) => void;

/** What goes together. */
interface Load {
  /** Of the servers that were admitted when the first was asked. */
  runs: readonly string[];
  calls: PreparedCall[];
  waiting: OnCheckReply[];
  places: number[];
  isSent: boolean;
}

/**
 * Takes verifications to Redis: all that are asked in one turn of the event loop in one command, or the first hundred at once in one and the
 * rest in the next, which costs each of them little. On a cluster, where a command is about one slot, each goes in its own.
 */
export class CheckLine {
  private readonly sendAll: (
    calls: readonly PreparedCall[],
    token: string,
  ) => Promise<Answered<RawReply[]> | null>;
  private readonly mostTogether: number;
  private readonly tokenPrefix = randomBytes(12).toString('base64url');
  private loads = 0;
  private open: Load | null = null;

  constructor(private readonly link: RedisLink) {
    const lua = readFileSync(new URL('./check.lua', import.meta.url), 'utf8');
    this.sendAll = link.isCluster ? toCluster(link.script(lua)) : toServer(link.bundle(lua));
    this.mostTogether = link.isCluster ? 1 : MOST_TOGETHER;
  }

  /** A call that is asked again and again. */
  prepare({ names, args }: CheckCall): PreparedCall {
    // copies have no room to grow
    if (this.link.isCluster) return { names: names.slice(), args: args.slice() };
    const wire = wireOfCall({ names, args });
    return { ...wire, keys: inOnePiece(wire.keys), args: inOnePiece(wire.args) };
  }

  /** Asks servers with these run ids, or nobody. */
  ask(call: PreparedCall, runs: readonly string[], done: OnCheckReply, place = 0): void {
    const load = this.open?.runs === runs ? this.open : this.begin(runs);
    load.calls.push(call);
    load.waiting.push(done);
    load.places.push(place);
    if (load.calls.length >= this.mostTogether) void this.send(load);
  }

  private begin(runs: readonly string[]): Load {
    const load: Load = { runs, calls: [], waiting: [], places: [], isSent: false };
    this.open = load;
    if (this.mostTogether > 1)
      setImmediate(() => {
        if (!load.isSent) void this.send(load);
      });
    return load;
  }

  private async send(load: Load): Promise<void> {
    const { runs, calls, waiting, places } = load;
    load.isSent = true;
    if (this.open === load) this.open = null;
    this.loads += 1;
    // unlike any token of another process, and any other of this one
    const token = `${this.tokenPrefix}${this.loads}`;
    const done = this.link.runs === runs ? await this.sendAll(calls, token) : null;
    // full loads may be answered together: what the first of them leads to is sent before the second is looked at
    if (waiting.length === MOST_TOGETHER) await turn();
    for (let i = 0; i < waiting.length; i += 1)
      waiting[i]!(this.replyOf(done?.answer[i]), places[i]!);
    // what waited for it, such as a promise, may be old for V8 by now, and what it holds would become so
    if (done !== null) done.answer.length = 0;
  }

  private replyOf(reply: RawReply | undefined): CheckReply | null {
    if (reply instanceof Error) this.link.noteRefusal(reply);
    if (reply === undefined || reply instanceof Error) return null;
    if (typeof reply === 'string' || Buffer.isBuffer(reply)) return reply.toString();
    return reply[0] === 0 ? [0, reply[1].toString()] : reply;
  }
}

function toCluster(script: Script): CheckLine['sendAll'] {
  return ([call], token) => {
    const { names, args } = call as CheckCall;
    return script(names, [token, TOKEN_TTL_MS, ...args]);
  };
}

function toServer(bundle: Bundle): CheckLine['sendAll'] {
  return (calls, token) => bundle(() => wireOfAll(calls, token));
}

function wireOfAll(calls: readonly PreparedCall[], token: string): Wire {
  const all = { keys: '', keyCount: 0, args: wireOf([token, TOKEN_TTL_MS]), argCount: 2 };
  for (const call of calls) {
    const one = 'keys' in call ? call : wireOfCall(call);
    all.keys += one.keys;
    all.keyCount += one.keyCount;
    all.args += one.args;
    all.argCount += one.argCount;
  }
  return all;
}

function wireOfCall({ names, args }: CheckCall): Wire {
  const [keyCount, argCount] = [names.length, args.length];
  return { keys: wireOf(names), keyCount, args: wireOf(args), argCount };
}
