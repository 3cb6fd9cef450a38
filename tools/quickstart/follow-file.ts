import { closeSync, openSync, readSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/** A file that is followed. */
export interface Following {
  /** Hands over what is there by now and not yet handed over, an unfinished last line too. */
  end: () => void;
}

const EVERY_MS = 200;

/** Hands over each line that is added to a file, from its beginning, until it is ended. Keeps no process alive. */
export function followFile(path: string, take: (line: string) => void): Following {
  const file = openSync(path, 'r');
  const decoder = new StringDecoder();
  const chunk = Buffer.alloc(64 * 1024);
  let rest = '';
  const read = (): void => {
    for (let bytes = readSync(file, chunk); bytes > 0; bytes = readSync(file, chunk)) {
      const lines = (rest + decoder.write(chunk.subarray(0, bytes))).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
    }
  };
  const timer = setInterval(read, EVERY_MS).unref();
  return {
    end: () => {
      clearInterval(timer);
      read();
      if (rest !== '') take(rest);
      closeSync(file);
    },
  };
}
