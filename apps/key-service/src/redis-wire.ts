import { createHash } from 'node:crypto';
import { Command, type Redis } from 'ioredis';

/** Names of keys and arguments for a script, as Redis reads them, and how many they are. */
export interface Wire {
  keys: string;
  keyCount: number;
  args: string;
  argCount: number;
}

/** Values as Redis reads them: the length in bytes, then the value, of each. */
export function wireOf(values: readonly (string | number)[]): string {
  let text = '';
  for (const value of values) {
    const one = String(value);
    text += `$${Buffer.byteLength(one)}\r\n${one}\r\n`;
  }
  return text;
}

/** A call of a script. Its text is put together when it is written, from prepared parts, and not kept. */
export class ScriptCommand extends Command {
  /**
   * @param name `evalsha` or `eval`
   * @param script its digest or itself
   */
  constructor(
    name: string,
    private readonly script: string,
    private readonly compose: () => Wire,
  ) {
    super(name, [script]);
  }

  override toWritable(): string {
    const { keys, keyCount, args, argCount } = this.compose();
    const count = 3 + keyCount + argCount;
    return `*${count}\r\n${wireOf([this.name, this.script, keyCount])}${keys}${args}`;
  }
}

/** Calls a script by its digest in a command of its own, and sends it where the server does not know it. */
export function callerOf(
  client: Redis,
  lua: string,
): (compose: () => Wire, number: number) => Promise<unknown> {
  const digest = createHash('sha1').update(lua).digest('hex');
  return (compose, number) => {
    const whole = (): Wire => {
      const { keys, keyCount, args, argCount } = compose();
      // no node to be named, as a single server needs none
      return { keys, keyCount, args: args + wireOf(['', number]), argCount: argCount + 2 };
    };
    const sent = client.sendCommand(
      new ScriptCommand('evalsha', digest, whole),
    ) as Promise<unknown>;
    return sent.catch((error: Error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return client.sendCommand(new ScriptCommand('eval', lua, whole));
    });
  };
}
