import { Command } from 'ioredis';

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

/** A call of a script, the text of which is put together from parts that were prepared. */
export class ScriptCommand extends Command {
  private readonly text: string;

  /**
   * @param name `evalsha` or `eval`
   * @param script its digest or itself
   */
  constructor(name: string, script: string, { keys, keyCount, args, argCount }: Wire) {
    super(name, [script]);
    const count = 3 + keyCount + argCount;
    this.text = `*${count}\r\n${wireOf([name, script, keyCount])}${keys}${args}`;
  }

  override toWritable(): string {
    return this.text;
  }
}
