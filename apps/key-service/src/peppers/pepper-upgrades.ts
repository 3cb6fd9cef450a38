import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Peppers } from '#key-core';
import type { SecretUpgrades, UsedSecret } from '../verify/secret-upgrades.js';

export interface PepperUpgradesParts {
  peppers: Peppers;
  /** Gives a secret a digest of the current pepper, if it still has that of the one named, or none where that is 0. */
  upgrade: (seen: UsedSecret) => Promise<unknown>;
  log: Logger;
}

const MAX_WAITING = 1_000;
/** So at most 50 a second: a new pepper makes every key in use due at once. */
const PAUSE_MS = 20;
const AFTER_FAILURE_MS = 1_000;

/**
 * Upgrades secrets whose digest was made with an earlier pepper than the current one, or that were imported and have none of ours, one
 * after the other, behind the verification that saw their text. What does not find room, or fails, is left to a later use. Never to an earlier pepper: while replicas differ in the
 * current one they would undo each other's work.
 */
export class PepperUpgrades implements SecretUpgrades {
  private readonly waiting = new Map<string, UsedSecret>();
  private readonly stopping = new AbortController();
  private working: Promise<void> | null = null;

  constructor(private readonly parts: PepperUpgradesParts) {}

  used(secret: UsedSecret): void {
    const { keyId, secretNumber, pepperVersion } = secret;
    if (pepperVersion >= this.parts.peppers.current.version) return;
    if (this.waiting.size >= MAX_WAITING || this.stopping.signal.aborted) return;
    this.waiting.set(`${keyId}:${secretNumber}`, secret);
    this.working ??= this.work().finally(() => (this.working = null));
  }

  /** Resolves when what is under way is done; what waits is left to a later use. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.working;
  }

  private async work(): Promise<void> {
    const { signal } = this.stopping;
    for (const [name, secret] of this.waiting) {
      await sleep(PAUSE_MS, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      this.waiting.delete(name);
      if (!(await this.tryUpgrade(secret)))
        await sleep(AFTER_FAILURE_MS, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  private async tryUpgrade(secret: UsedSecret): Promise<boolean> {
    const { upgrade, log } = this.parts;
    try {
      await upgrade(secret);
      return true;
    } catch (error) {
      const { keyId, pepperVersion } = secret;
      const what = pepperVersion === 0 ? 'an imported hash' : 'a digest';
      log.warn({ err: error, keyId }, `${what} could not be brought to the current pepper`);
      return false;
    }
  }
}
