import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { DEFAULT_POLICY, type Policy } from '#contracts';

/** What a service's policy says to its guards. */
export type Terms = Pick<Policy, 'graceSeconds' | 'sensitiveScopes'>;

/** A reading is used this long; a guard that hears of a change takes no terms that were asked for within twice this. */
const FRESH_MS = 500;
/** Where nobody knows the policy, no verdict is used without asking. */
const NO_GRACE: Terms = { graceSeconds: 0, sensitiveScopes: [] };

interface Known {
  terms: Terms;
  readAtMs: number;
}

/** Policies as guards need them, read from PostgreSQL twice a second at most; while it is away the last ones go on. */
export class PolicyTerms {
  private readonly known = new Map<string, Known>();
  private readonly readings = new Map<string, Promise<Terms>>();

  constructor(
    private readonly pool: Pool,
    private readonly log: Logger,
  ) {}

  /** Never rejects. */
  of(service: string): Promise<Terms> {
    const known = this.known.get(service);
    if (known !== undefined && performance.now() - known.readAtMs < FRESH_MS)
      return Promise.resolve(known.terms);
    let reading = this.readings.get(service);
    if (reading === undefined) {
      reading = this.read(service).finally(() => this.readings.delete(service));
      this.readings.set(service, reading);
    }
    return reading;
  }

  private async read(service: string): Promise<Terms> {
    const readAtMs = performance.now();
    try {
      const { rows } = await this.pool.query<{ policy: Partial<Policy> }>({
        name: 'policy-terms',
        text: 'SELECT policy FROM keys.service WHERE slug = $1',
        values: [service],
      });
      if (rows[0] === undefined) return NO_GRACE;
      const { graceSeconds, sensitiveScopes } = { ...DEFAULT_POLICY, ...rows[0].policy };
      const terms = { graceSeconds, sensitiveScopes };
      this.known.set(service, { terms, readAtMs });
      return terms;
    } catch (error) {
      this.log.debug({ err: error }, 'a policy could not be read; its last terms go on');
      return this.known.get(service)?.terms ?? NO_GRACE;
    }
  }
}
