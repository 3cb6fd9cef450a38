import type { Logger } from 'pino';

/** What a reading said of the database's clock. */
export interface ClockReading {
  /** What it showed, in milliseconds since 1970, at some moment between the two others. */
  theirsMs: number;
  /** When the reading began, by `performance.now()`. */
  startedMs: number;
  /** When its answer was here. */
  arrivedMs: number;
}

/** From here on the calendar of this process is said to be wrong. */
const APART_MS = 1_000;

/**
 * The time that all replicas go by: the database's, whatever the calendar of this process says and whoever sets it. As long as they
 * agree it is the calendar's of the start; where they do not, it is as near to that as a reading allows. Between readings it goes on
 * by the monotonic clock, so that a replica that cannot reach the database goes by it too.
 */
export class DatabaseClock {
  private offsetMs = Date.now() - performance.now();
  private isApart = false;

  constructor(private readonly log: Logger) {}

  /** Whole milliseconds since 1970. The calendar's until there was a reading. */
  readonly now = (): number => Math.floor(performance.now() + this.offsetMs);

  /** Goes by a reading. Where the calendar is more than a second off that is a warning, once, and when it is right again told too. */
  hear({ theirsMs, startedMs, arrivedMs }: ClockReading): void {
    const [least, most] = [theirsMs - arrivedMs, theirsMs - startedMs];
    this.offsetMs = within(this.offsetMs, least, most);
    const calendarMs = Date.now() - performance.now();
    this.tell(calendarMs - within(calendarMs, least, most));
  }

  private tell(aheadMs: number): void {
    const isApart = Math.abs(aheadMs) > APART_MS;
    if (isApart === this.isApart) return;
    this.isApart = isApart;
    const aheadSeconds = Math.round(aheadMs / 1_000);
    if (isApart)
      this.log.warn(
        { aheadSeconds },
        "the clock of this machine is not the database's, which counts: set whichever is wrong",
      );
    else this.log.info("the clock of this machine is the database's again");
  }
}

function within(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
