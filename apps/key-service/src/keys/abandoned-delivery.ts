import type { Work } from './work.js';

/** No delivery takes as long. One that has not ended by then was broken off: its process has died. */
const LONGEST_DELIVERY_MS = 60_000;

/**
 * Whether the last rotation of a key was to deliver its secret and nothing tells that it has, or has not: then nobody is known
 * to have that secret. Read from the change log, to which each of these steps belongs.
 */
export async function isAbandoned({ manager }: Work, id: string, nowMs: number): Promise<boolean> {
  const [last] = await manager.query<{ at: Date; pending: boolean }[]>(LAST_STEP, [id]);
  return last?.pending === true && last.at.getTime() <= nowMs - LONGEST_DELIVERY_MS;
}

const LAST_STEP = `
  SELECT at, action = 'key.rotated' AND after ? 'deliverTo' AS pending FROM keys.change_log
  WHERE target_type = 'key' AND target_id = $1
    AND action IN ('key.rotated', 'key.delivered', 'key.delivery_failed')
  ORDER BY seq DESC LIMIT 1`;
