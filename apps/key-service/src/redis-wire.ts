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
