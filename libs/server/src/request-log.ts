import type { Bindings, ChildLoggerOptions, Logger } from 'pino';

/** What is written: as of a logger of pino, which takes several forms. */
type Line = Parameters<(object: object, text?: string, ...args: unknown[]) => void>;

/** Log of one request, with its id in every line. It is made with the first line, as most requests write none. */
export class RequestLog {
  private made: Logger | null = null;

  constructor(
    private readonly parent: Logger,
    private readonly bindings: Bindings,
    private readonly options: ChildLoggerOptions,
  ) {}

  fatal(...line: Line): void {
    this.own().fatal(...line);
  }

  error(...line: Line): void {
    this.own().error(...line);
  }

  warn(...line: Line): void {
    this.own().warn(...line);
  }

  info(...line: Line): void {
    this.own().info(...line);
  }

  debug(...line: Line): void {
    this.own().debug(...line);
  }

  trace(...line: Line): void {
    this.own().trace(...line);
  }

  child(bindings: Bindings, options?: ChildLoggerOptions): Logger {
    return this.own().child(bindings, options);
  }

  private own(): Logger {
    this.made ??= this.parent.child(this.bindings, this.options);
    return this.made;
  }
}
