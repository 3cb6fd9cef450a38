import type { SecretProvider } from './secret-provider.js';

/** Keeps a client's key up to date. */
export interface Renewal {
  /** The key to send, null where there is none. */
  current(): Promise<string | null>;
  /**
   * The key that there is after `refused` was refused: the same where it has not changed, or cannot be read. Those who were
   * refused together share one reading, which began after the first of them was refused.
   */
  after(refused: string): Promise<string | null>;
  /**
   * Looks whether the answer says that the key `sent` is going to end (`Sunset`, RFC 8594; `Deprecation`, RFC 9745), and if
   * so reads it anew soon, in the background. Nothing that goes wrong there is anybody's concern: the key still works.
   */
  heed(headers: Headers, sent: string): void;
}

/** However far the end is, it is looked for a new key at least this often, in milliseconds. */
const LONGEST_WAIT_MS = 60_000;
/** From one look to the next, also where the end is near, or past as the clocks here and there have it, in milliseconds. */
const LEAST_PAUSE_MS = 1_000;
/** How often it is looked before the end, if that is near. */
const LOOKS_BEFORE_END = 10;

/** Renews the key of one client. */
export function createRenewal(secret: SecretProvider): Renewal {
  let running: Promise<string | null> | null = null;
  let isPlanned = false;

  const share = (): Promise<string | null> => {
    running ??= secret.read({ fresh: true }).finally(() => {
      running = null;
    });
    return running;
  };
  const look = async (sent: string): Promise<void> => {
    if ((await secret.read()) === sent) await share();
  };
  return {
    current: () => secret.read(),
    after: async (refused) => {
      const known = await secret.read();
      if (known !== refused) return known;
      // One that is under way may have looked before the key was changed, or fail.
      const found = running === null ? refused : await running.catch(() => refused);
      return found === refused ? share() : found;
    },
    heed: (headers, sent) => {
      const waitMs = isPlanned ? null : renewalWaitMs(headers, Date.now(), Math.random());
      if (waitMs === null) return;
      isPlanned = true;
      const again = (): void => {
        setTimeout(() => (isPlanned = false), LEAST_PAUSE_MS).unref();
      };
      setTimeout(() => void look(sent).then(again, again), waitMs).unref();
    },
  };
}

/**
 * How long to wait before the key is read anew, in milliseconds; null where the answer does not say that it ends.
 *
 * @param random from 0 to 1
 */
export function renewalWaitMs(headers: Headers, nowMs: number, random: number): number | null {
  const sunset = headers.get('sunset');
  if (sunset === null && headers.get('deprecation') === null) return null;
  const endMs = sunset === null ? NaN : Date.parse(sunset);
  const leftMs = Number.isNaN(endMs) ? Infinity : Math.max(0, endMs - nowMs);
  return random * Math.min(LONGEST_WAIT_MS, leftMs / LOOKS_BEFORE_END);
}
