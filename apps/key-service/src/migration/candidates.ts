import type { Pool } from 'pg';

/** A key that a text may be, as its rows say. */
export interface Candidate {
  keyId: string;
  importId: string;
  secretNumber: number;
  lookup: Buffer;
  /** Null once the secret has a digest of our own. */
  sealed: Buffer | null;
  digest: Buffer;
  /** 0 while the digest is not made. */
  pepperVersion: number;
}

/** Most keys that one locator may stand for. */
export const MAX_CANDIDATES = 5;
const MAX_STATEMENTS = 2;
const MAX_LOOKUPS = 128;
const MAX_WAITING = 512;
/** How long look-ups are gathered during a flood: those of hundreds of guesses a second share some fifty statements or twice as many. */
const GATHER_MS = 20;

/** So many texts are being looked up that one more would only wait in vain. */
export class TooManyLookups extends Error {}

interface Waiting {
  lookups: readonly Buffer[];
  resolve: (found: Candidate[]) => void;
  reject: (error: unknown) => void;
}

interface Row {
  key_id: string;
  import_id: string;
  number: number;
  lookup: Buffer;
  sealed: Buffer | null;
  digest: Buffer;
  pepper_version: number;
}

/**
 * Looks up imported keys. Those who wait at the same time share a statement; two at most are under way. During a flood of guesses
 * they wait for each other a little: a statement for each would cost PostgreSQL what others need of it.
 */
export class Candidates {
  private waiting: Waiting[] = [];
  private statements = 0;
  private isGathering = false;

  constructor(
    private readonly pool: Pick<Pool, 'query'>,
    private readonly isFlooded: () => boolean,
  ) {}

  /** Keys with any of these lookups. @throws TooManyLookups, or where PostgreSQL does not answer */
  find(lookups: readonly Buffer[]): Promise<Candidate[]> {
    if (this.waiting.length >= MAX_WAITING) return Promise.reject(new TooManyLookups());
    return new Promise((resolve, reject) => {
      this.waiting.push({ lookups, resolve, reject });
      this.gather();
    });
  }

  private gather(): void {
    if (this.isGathering) return;
    this.isGathering = true;
    const send = (): void => {
      this.isGathering = false;
      void this.send();
    };
    if (this.isFlooded()) setTimeout(send, GATHER_MS);
    else setImmediate(send);
  }

  private async send(): Promise<void> {
    if (this.statements >= MAX_STATEMENTS || this.waiting.length === 0) return;
    this.statements += 1;
    const sent = this.waiting.splice(0, MAX_LOOKUPS);
    try {
      const found = await this.select(sent.flatMap((one) => one.lookups));
      for (const one of sent)
        one.resolve(one.lookups.flatMap((lookup) => found.get(lookup.toString('hex')) ?? []));
    } catch (error) {
      for (const one of sent) one.reject(error);
    } finally {
      this.statements -= 1;
      void this.send();
    }
  }

  private async select(lookups: Buffer[]): Promise<Map<string, Candidate[]>> {
    const { rows } = await this.pool.query<Row>({ ...SELECT, values: [lookups, MAX_CANDIDATES] });
    const found = new Map<string, Candidate[]>();
    for (const row of rows) {
      const name = row.lookup.toString('hex');
      found.set(name, [...(found.get(name) ?? []), candidateOf(row)]);
    }
    return found;
  }
}

const SELECT = {
  name: 'imported-candidates',
  text: `SELECT c.* FROM (SELECT DISTINCT unnest($1::bytea[]) AS lookup) wanted CROSS JOIN LATERAL (
      SELECT l.key_id, l.import_id, l.number, l.lookup, l.sealed, s.digest, s.pepper_version
      FROM keys.legacy_secret l JOIN keys.secret s ON s.key_id = l.key_id AND s.number = l.number
      WHERE l.lookup = wanted.lookup ORDER BY l.key_id LIMIT $2) c`,
};

function candidateOf(row: Row): Candidate {
  return {
    keyId: row.key_id,
    importId: row.import_id,
    secretNumber: row.number,
    lookup: row.lookup,
    sealed: row.sealed,
    digest: row.digest,
    pepperVersion: row.pepper_version,
  };
}
