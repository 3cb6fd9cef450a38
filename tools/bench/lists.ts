import type { Bed } from './bed.js';
import type { Goal, Results } from './report.js';
import type { Server } from './servers.js';
import { spreadOf, type Spread } from './slices.js';
import { ask, lasting } from './targets.js';

/** Pages of each list that are read one after the other. */
const PAGES = 50;
/** Times that each is read, at least; short lists until there are as many pages as of one that is followed. */
const PASSES = 7;
/** The most that a page may hold, to get on. */
const LARGE_PAGE = 200;
const GOAL = { atMost: 1.2 };

/** Lists of the large database. */
const LISTS = {
  'all keys': '',
  active: 'status=active',
  disabled: 'status=disabled',
  expired: 'status=expired',
  revoked: 'status=revoked',
  'of a service': 'service=service-a',
  'of a consumer': 'consumer=consumer-3',
  'of a rare tag': 'tag=rare',
  'of a common tag': 'tag=common',
  'ending soon, active': `status=active&expiresBefore=${inDays(3)}`,
  'ending soon, disabled': `status=disabled&expiresBefore=${inDays(3)}`,
  'ending soon, revoked': `status=revoked&expiresBefore=${inDays(3)}`,
  unused: `unusedSince=${inDays(-1)}`,
  'by a part of the name': 'q=bench',
  'by a name that none has': 'q=nothing-like-it',
};

/** Where pages of lists are read. */
export interface ListSides {
  small: Server;
  large: Server;
  /** How many keys the large one has. */
  many: number;
}

/**
 * Pages of lists on many keys against the first page on few, one request at a time, in turn with it: each list along its cursors, and the
 * list of all keys in its middle. The list of all of the few themselves tells what a page costs more than a first one wherever it is.
 */
export async function compareLists(bed: Bed, sides: ListSides, results: Results): Promise<void> {
  const token = await bed.issuer.person('usr_admin', lasting());
  const [few, many] = [new Reader(sides.small, token), new Reader(sides.large, token)];
  const first = async () => (await few.page('')).tookMs;
  for (const [name, query] of Object.entries(LISTS)) {
    process.stdout.write(`\r${`pages: ${name}`.padEnd(40)}`);
    const { theirs, ours } = await readList(() => many.along(query), first);
    results.figure('first page of few keys, ms', spreadOf(theirs.flat()).median);
    results.figure(`pages read: ${name}`, ours.length);
    compare(`page: ${name}`, ours, { theirs, results });
  }
  const alike = await readList(() => few.along(''), first);
  compare('page: all of few keys', alike.ours, { ...alike, results, goal: {} });
  process.stdout.write(`\r${'pages: on the way to the middle'.padEnd(40)}`);
  const cursor = await many.cursorAfter(sides.many / 2);
  const { theirs, ours } = await readList(() => many.along('', cursor), first);
  compare('page: all keys, from the middle', ours, { theirs, results });
}

interface Page {
  tookMs: number;
  nextCursor: string | null;
}

/** Reads lists of a key service as an admin. */
class Reader {
  constructor(
    private readonly server: Server,
    private readonly token: string,
  ) {}

  /** @throws Error where there is none */
  async page(query: string): Promise<Page> {
    const startedMs = performance.now();
    const { status, text } = await ask(this.server, `/v1/keys?${query}`, { token: this.token });
    const tookMs = performance.now() - startedMs;
    if (status !== 200) throw new Error(`/v1/keys?${query}: ${status} ${text}`);
    return { tookMs, nextCursor: (JSON.parse(text) as Page).nextCursor };
  }

  /** One page after the other, until the last or until there are enough. */
  async *along(query: string, from?: string): AsyncGenerator<number> {
    let cursor: string | null | undefined = from;
    for (let i = 0; i < PAGES && cursor !== null; i += 1) {
      const { tookMs, nextCursor } = await this.page(query + after(cursor));
      yield tookMs;
      cursor = nextCursor;
    }
  }

  /** The cursor of the list of all keys behind so many: by reading all of them, as there is no other way to one. */
  async cursorAfter(count: number): Promise<string> {
    let cursor: string | undefined;
    for (let read = 0; read < count || cursor === undefined; read += LARGE_PAGE) {
      const page = await this.page(`limit=${LARGE_PAGE}${after(cursor)}`);
      if (page.nextCursor === null) throw new Error('The list of all keys ends before its middle');
      cursor = page.nextCursor;
    }
    return cursor;
  }
}

function after(cursor: string | undefined): string {
  return cursor === undefined ? '' : `&cursor=${cursor}`;
}

/** Milliseconds of each page, in each pass. */
type Times = number[][];

/** Reads a list some times, and before each page the first page of few keys. */
async function readList(
  along: () => AsyncGenerator<number>,
  first: () => Promise<number>,
): Promise<{ ours: Times; theirs: Times }> {
  const [ours, theirs]: [Times, Times] = [[], []];
  let read = 0;
  for (let pass = 0; pass < PASSES || read < PAGES; pass += 1) {
    let place = 0;
    for await (const tookMs of along()) {
      (ours[place] ??= []).push(tookMs);
      (theirs[place] ??= []).push(await first());
      place += 1;
      read += 1;
    }
  }
  return { ours, theirs };
}

/** The page in the middle, and the slowest: of pages that are alike one is the slowest as well, so that it is held against that one. */
function compare(
  name: string,
  ours: Times,
  { theirs, results, goal = GOAL }: { theirs: Times; results: Results; goal?: Goal },
): void {
  const [our, their] = [ours, theirs].map((times) =>
    spreadOf(times.map((one) => spreadOf(one).median)),
  ) as [Spread, Spread];
  results.ratio(name, our.median / their.median, goal);
  if (ours.length > 1) results.ratio(`${name}, the slowest`, our.max / their.max, goal);
}

function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString();
}
