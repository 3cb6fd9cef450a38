import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { legacyScheme, type ImportMode, type LegacyScheme } from '#contracts';
import type { Peppers } from '#key-core';
import { unseal } from '../idempotency/seal.js';
import { importSecretsOf, type ImportSecrets } from './import-secrets.js';
import { HAS_KEYS } from './present-mode.js';

/** An import as verification needs it: how its keys look and were hashed, and whether they count. */
export interface ImportRule {
  id: string;
  service: string;
  mode: ImportMode;
  scheme: LegacyScheme;
  secrets: ImportSecrets;
}

export interface ImportRulesParts {
  pool: Pool;
  peppers: Peppers;
  log: Logger;
}

interface Row {
  id: string;
  service: string;
  mode: ImportMode;
  sealed_scheme: Buffer;
  pepper_version: number;
}

const AGAIN_MS = 1_000;
const NONE: readonly ImportRule[] = [];

/**
 * The imports of all services, in this process's memory: a service without any costs its verifications nothing. They are read
 * anew after every change of an import.
 */
export class ImportRules {
  private byService = new Map<string, ImportRule[]>();
  private reading: Promise<void> | null = null;
  private isOutdated = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: ImportRulesParts) {}

  /** Imports of a service that have keys, the oldest first. */
  of(service: string): readonly ImportRule[] {
    return this.byService.get(service) ?? NONE;
  }

  /** Services with such imports. */
  services(): Iterable<string> {
    return this.byService.keys();
  }

  /** Reads them now; where PostgreSQL does not answer the last ones go on, and it is tried again every second. */
  async refresh(): Promise<void> {
    if (this.reading !== null) {
      this.isOutdated = true;
      return this.reading;
    }
    this.reading = this.readAll().finally(() => (this.reading = null));
    return this.reading;
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private async readAll(): Promise<void> {
    clearTimeout(this.timer);
    do {
      this.isOutdated = false;
      try {
        await this.read();
      } catch (error) {
        this.parts.log.warn({ err: error }, 'imports could not be read');
        this.timer = setTimeout(() => void this.refresh(), AGAIN_MS);
        this.timer.unref();
      }
    } while (this.isOutdated);
  }

  private async read(): Promise<void> {
    const { rows } = await this.parts.pool.query<Row>(
      `SELECT id, service, mode, sealed_scheme, pepper_version FROM keys.import i WHERE ${HAS_KEYS}
       ORDER BY created_at, id`,
    );
    const byService = new Map<string, ImportRule[]>();
    for (const row of rows) {
      const rule = this.ruleOf(row);
      if (rule !== null) byService.set(row.service, [...(byService.get(row.service) ?? []), rule]);
    }
    this.byService = byService;
  }

  /** Null, and an error in the log, for a row that was not sealed here. */
  private ruleOf({
    id,
    service,
    mode,
    sealed_scheme: sealed,
    pepper_version,
  }: Row): ImportRule | null {
    const { peppers, log } = this.parts;
    const pepper = peppers.get(pepper_version);
    const secrets = pepper && importSecretsOf(pepper);
    const text =
      secrets && unseal(sealed, { key: secrets.sealKey, place: schemePlace(id, service) });
    if (secrets !== undefined && typeof text === 'string')
      return { id, service, mode, scheme: legacyScheme.parse(JSON.parse(text)), secrets };
    log.error(
      { importId: id },
      'an import cannot be opened: its pepper is missing, or it is not ours',
    );
    return null;
  }
}

/** Where a sealed scheme belongs. */
export function schemePlace(importId: string, service: string): string {
  return `scheme\0${importId}\0${service}`;
}
