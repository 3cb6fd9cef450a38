import { Inject, Injectable } from '@nestjs/common';
import type { ExplainBody, ExplainedCheck, Explanation } from '#contracts';
import {
  exceedsLimits,
  explainDecision,
  makeKeyText,
  type KeyRecord,
  type SecretRecord,
} from '#key-core';
import type { Principal } from '../access/principal.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { findKey } from '../keys/find-key.js';
import { Stores } from '../stores.js';
import { FOREIGN_KEYS, type ForeignKeys } from '../verify/foreign-keys.js';
import { RecordStore } from '../verify/record-store.js';
import { Spender } from '../verify/spender.js';
import { unavailable } from '../verify/unavailable.js';
import type { Spending, Spent } from '../verify/spending.js';

/** Explains decisions about keys, by the very checks that verifications apply. */
@Injectable()
export class Explainer {
  @Inject(FOREIGN_KEYS) private readonly foreign!: ForeignKeys;

  constructor(
    private readonly stores: Stores,
    private readonly records: RecordStore,
    private readonly spender: Spender,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  /**
   * What a verification of the key's current secret would decide now, check by check. Spends nothing.
   *
   * @throws NotFoundException where there is no such key, or it is not the principal's to see; ServiceUnavailableException where
   *   nobody could decide
   */
  async explain(keyId: string, body: ExplainBody, by: Principal): Promise<Explanation> {
    const { id, hintPrefix } = await findKey(this.stores.db.manager, keyId, by);
    const { record } = await this.records.read(id).catch((error: unknown) => {
      throw unavailable(error);
    });
    if (record === null) throw new Error(`The key ${id} has no record`);
    const { cost = 1, ...request } = body;
    const secret = record.secrets.find((one) => one.validUntilMs === null) ?? null;
    const decided = await this.decided(record, { secret, prefix: hintPrefix }, request);
    const spending = { limits: record.rateLimits, quota: record.quota, cost, isDry: true };
    const owner = { keyId: id, consumer: record.consumer, service: request.service };
    const spent = await this.spender.spend(owner, spending);
    const checks = [...decided, ...(spent === null ? [] : limitChecks(record, spending, spent))];
    const failed = checks.find((one) => !one.passed);
    return {
      keyId: id,
      version: record.version,
      code: failed?.code ?? 'VALID',
      failed: failed?.name ?? null,
      checks,
    };
  }

  private async decided(
    record: KeyRecord,
    current: Current,
    request: Omit<ExplainBody, 'cost'>,
  ): Promise<ExplainedCheck[]> {
    const checks = explainDecision(record, current.secret, request, this.material.now());
    if (!(await this.isHeld(record, current, request.service))) return checks;
    return checks.map((one) =>
      one.name === 'service' ? { ...one, passed: false, detail: HELD } : one,
    );
  }

  /** Whether the old side alone decides on the current secret: one that came from there, or looks as those do. */
  private async isHeld(
    record: KeyRecord,
    { secret, prefix }: Current,
    service: string,
  ): Promise<boolean> {
    if (secret === null || !this.foreign.isHeld(record, service)) return false;
    this.requireKnown(record, service);
    const { manager } = this.stores.db;
    const came = await manager.query<unknown[]>(CAME, [record.keyId, secret.number]);
    if (came.length > 0) return true;
    // nobody has the text of one that was made here: another one of its form is as good
    const { text } = makeKeyText({ ...record, prefix }, this.material.random);
    return this.foreign.mayBeHeld({ text, service });
  }

  /** @throws HttpException where a verification could not decide either */
  private requireKnown(record: KeyRecord, service: string): void {
    try {
      this.foreign.requireKnown(record, service);
    } catch (error) {
      throw unavailable(error);
    }
  }
}

/** The current secret of a key, and the prefix of its text. */
interface Current {
  secret: SecretRecord | null;
  prefix: string;
}

const CAME = 'SELECT FROM keys.legacy_secret WHERE key_id = $1 AND number = $2';

const HELD = 'It came with an import that is in shadow: the old side alone decides on it';

function limitChecks(record: KeyRecord, { cost }: Spending, spent: Spent): ExplainedCheck[] {
  const { quota } = record;
  const needs = `needs ${cost}${exceedsLimits(cost, record) ? ', which is never there at once' : ''}`;
  const states = spent.states.map(
    ({ name, limit, remaining }) => `${name}: ${remaining} of ${limit} left`,
  );
  const left =
    spent.quotaLeft === null
      ? 'Not looked at, as a rate limit refuses'
      : `${spent.quotaLeft} of ${quota?.limit} left`;
  return [
    {
      name: 'rateLimits',
      passed: spent.refusal !== 'RATE_LIMITED',
      code: 'RATE_LIMITED',
      detail: states.length === 0 ? 'No limits' : `${states.join(', ')}; ${needs}`,
    },
    {
      name: 'quota',
      passed: spent.refusal !== 'QUOTA_EXCEEDED',
      code: 'QUOTA_EXCEEDED',
      detail: quota === null ? 'No quota' : `${left}; ${needs}`,
    },
  ];
}
