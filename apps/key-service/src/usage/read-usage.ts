import type { EntityManager } from 'typeorm';
import { MAX_USAGE_POINTS, type Granularity, type UsageQuery, type UsageReport } from '#contracts';
import { invalidField } from '#server';
import type { Principal } from '../access/principal.js';
import { findKey } from '../keys/find-key.js';

const PERIODS = {
  minute: { ms: 60_000, from: 'keys.usage_by_minute', byDefault: 60 },
  hour: { ms: 3_600_000, from: 'keys.usage_by_hour', byDefault: 48 },
  day: { ms: 86_400_000, from: 'keys.usage_by_day', byDefault: 30 },
} as const satisfies Record<Granularity, { ms: number; from: string; byDefault: number }>;

/** Whole periods, milliseconds since 1970; the end is not part of it. */
interface Range {
  fromMs: number;
  toMs: number;
}

interface Row {
  at: Date;
  code: string;
  count: string;
}

/**
 * Counts by outcome of the verifications at the principal's services. Those that name no key, such as of junk, are there where
 * neither a key nor a consumer is asked for.
 *
 * @throws NotFoundException where the key is not the principal's to see
 * @throws ProblemException INVALID_REQUEST where the range is empty or spans more than 2,000 periods
 */
export async function readUsage(
  manager: EntityManager,
  query: UsageQuery,
  { by, nowMs }: { by: Principal; nowMs: number },
): Promise<UsageReport> {
  const { granularity, keyId } = query;
  if (keyId !== undefined) await findKey(manager, keyId, by);
  const { fromMs, toMs } = rangeOf(query, nowMs);
  const rows = await manager.query<Row[]>(
    `SELECT u.at, u.code, sum(u.count)::text AS count FROM ${PERIODS[granularity].from} u
     WHERE u.at >= $1 AND u.at < $2
       AND ($3::text IS NULL OR u.key_id = $3)
       AND ($4::text IS NULL OR u.key_id IN (SELECT id FROM keys.key WHERE consumer = $4))
       AND ($5::text IS NULL OR u.service = $5)
       AND ($6::text[] IS NULL OR u.service = ANY ($6))
     GROUP BY 1, 2 ORDER BY 1, 2`,
    [
      new Date(fromMs),
      new Date(toMs),
      keyId ?? null,
      query.consumer ?? null,
      query.service ?? null,
      by.services,
    ],
  );
  const [from, to] = [new Date(fromMs).toISOString(), new Date(toMs).toISOString()];
  return { from, to, granularity, data: pointsOf(rows) };
}

function rangeOf({ from, to, granularity }: UsageQuery, nowMs: number): Range {
  const { ms, byDefault } = PERIODS[granularity];
  const toMs = Math.ceil((to === undefined ? nowMs + 1 : Date.parse(to)) / ms) * ms;
  const fromMs =
    from === undefined ? toMs - byDefault * ms : Math.floor(Date.parse(from) / ms) * ms;
  if (fromMs >= toMs) throw invalidField('/from', 'Use a time before to');
  if ((toMs - fromMs) / ms > MAX_USAGE_POINTS) {
    const detail = `Ask for at most ${MAX_USAGE_POINTS} ${granularity}s at once, or for longer periods`;
    throw invalidField('/from', detail);
  }
  return { fromMs, toMs };
}

function pointsOf(rows: readonly Row[]): UsageReport['data'] {
  const points = new Map<number, UsageReport['data'][number]>();
  for (const { at, code, count } of rows) {
    const point = points.get(at.getTime()) ?? { from: at.toISOString(), counts: {}, total: 0 };
    point.counts[code as keyof typeof point.counts] = Number(count);
    point.total += Number(count);
    points.set(at.getTime(), point);
  }
  return [...points.values()];
}
