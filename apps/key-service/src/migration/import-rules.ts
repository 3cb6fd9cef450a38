import type { Pool } from 'pg';
import type { Logger } from 'pino';
import { legacyScheme, type ImportMode, type LegacyScheme } from '#contracts';
import type { Peppers } from '#key-core';
import { PLACE_OF_IMPORTS } from '../changes/epoch-table.js';
import type { Fence, FollowedRules } from '../changes/fence.js';
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

/** An import that this replica cannot open: any text may be a key of it, and which one is not known here. */
export interface ClosedRule extends Pick<ImportRule, 'id' | 'service' | 'mode'> {
  scheme: null;
}

export interface ImportRulesParts {
  /** Of their own, so that they wait for nobody. */
  pool: Pool;
  fence: Pick<Fence, 'isCurrent'>;
  peppers: Peppers;
  log: Logger;
}

interface Row {
  /** Null in the one row where there is none. */
  id: string | null;
  service: string;
  mode: ImportMode;
  sealed_scheme: Buffer;
  pepper_version: number;
  timeline: string;
  imports: string;
}

const NONE: readonly (ImportRule | ClosedRule)[] = [];

/** What this replica knows of imports is older than it may go by. */
export class OutdatedImports extends Error {}

/**
 * The imports of all services, in this process's memory: a service without any costs its verifications nothing. They are read
 * anew after every change of an import, and only gone by as long as a reading of the fence says that they are those of now.
 */
export class ImportRules implements FollowedRules {
  private byService = new Map<string, (ImportRule | ClosedRule)[]>();
  private place = { timeline: '', seq: 0 };
  private provenMs = -Infinity;
  private reading: Promise<void> | null = null;
  private next: Promise<void> | null = null;
  private isFailing = false;

  /** Another one after each change of an import. */
  generation = 0;

  constructor(private readonly parts: ImportRulesParts) {}

  /** Imports of a service that have keys, the oldest first. */
  of(service: string): readonly (ImportRule | ClosedRule)[] {
    return this.byService.get(service) ?? NONE;
  }

  /** Services with such imports. */
  services(): Iterable<string> {
    return this.byService.keys();
  }

  /** Whether they may be gone by. */
  get areCurrent(): boolean {
    return this.parts.fence.isCurrent(this.provenMs);
  }

  /** @throws OutdatedImports where they may not be gone by */
  requireCurrent(): void {
    if (!this.areCurrent) throw new OutdatedImports('What is known of imports is too old');
  }

  seqIn(timeline: string | null): number {
    return timeline === this.place.timeline ? this.place.seq : 0;
  }

  hear({ timeline, imports }: Parameters<FollowedRules['hear']>[0], startedMs: number): void {
    const isOurs = timeline === this.place.timeline && imports <= this.place.seq;
    if (isOurs) this.provenMs = Math.max(this.provenMs, startedMs);
    else void this.tryRefresh();
  }

  /** A reading that begins after this call; calls that wait for one under way share the next. */
  refresh(): Promise<void> {
    if (this.reading === null) {
      this.reading = this.read().finally(() => (this.reading = null));
      return this.reading;
    }
    this.next ??= this.reading
      .catch(() => undefined)
      .then(() => {
        this.next = null;
        return this.refresh();
      });
    return this.next;
  }

  /** The same for who goes on without: each reading of the fence tries again. What fails is logged once. */
  async tryRefresh(): Promise<void> {
    try {
      await this.refresh();
      this.isFailing = false;
    } catch (error) {
      if (!this.isFailing) this.parts.log.warn({ err: error }, 'imports could not be read');
      this.isFailing = true;
    }
  }

  /** Ends the connection that they are read over. */
  close(): Promise<void> {
    return this.parts.pool.end();
  }

  private async read(): Promise<void> {
    const startedMs = performance.now();
    const { rows } = await this.parts.pool.query<Row>(
      `SELECT i.*, ${PLACE_OF_IMPORTS} FROM (SELECT) one LEFT JOIN (
         SELECT id, service, mode, sealed_scheme, pepper_version, created_at FROM keys.import i WHERE ${HAS_KEYS}) i ON true
       ORDER BY i.created_at, i.id`,
    );
    const byService = new Map<string, (ImportRule | ClosedRule)[]>();
    for (const row of rows) {
      if (row.id === null) continue;
      const rule = this.ruleOf(row as Row & { id: string });
      byService.set(row.service, [...(byService.get(row.service) ?? []), rule]);
    }
    this.byService = byService;
    this.goBy({ timeline: rows[0]!.timeline, seq: Number(rows[0]!.imports) }, startedMs);
  }

  private goBy(place: { timeline: string; seq: number }, startedMs: number): void {
    const isOther = place.timeline !== this.place.timeline || place.seq !== this.place.seq;
    if (isOther) this.generation += 1;
    this.place = place;
    this.provenMs = Math.max(this.provenMs, startedMs);
  }

  /** Closed, with an error in the log that says what to do, where its pepper is missing or it was not sealed here. */
  private ruleOf({ id, service, mode, ...row }: Row & { id: string }): ImportRule | ClosedRule {
    const { peppers, log } = this.parts;
    const { sealed_scheme: sealed, pepper_version: pepperVersion } = row;
    const pepper = peppers.get(pepperVersion);
    const secrets = pepper && importSecretsOf(pepper);
    const text =
      secrets && unseal(sealed, { key: secrets.sealKey, place: schemePlace(id, service) });
    if (secrets !== undefined && typeof text === 'string')
      return { id, service, mode, scheme: legacyScheme.parse(JSON.parse(text)), secrets };
    const toDo = secrets
      ? `version ${pepperVersion} in KEY_PEPPERS is another pepper than it was begun with, or its row was changed: put back that one`
      : `add version ${pepperVersion} to KEY_PEPPERS of this replica, and start it anew`;
    const what = `an import cannot be opened, and what may be a key of it is answered 503: ${toDo}`;
    log.error({ importId: id, service, pepperVersion }, what);
    return { id, service, mode, scheme: null };
  }
}

/** Where a sealed scheme belongs. */
export function schemePlace(importId: string, service: string): string {
  return `scheme\0${importId}\0${service}`;
}
