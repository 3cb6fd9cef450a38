import type { Grant } from '#contracts';
import {
  CHECKS,
  type RecordCheckName,
  type DecisionCode,
  type KeyRequest,
  type Subject,
} from './checks.js';
import type { KeyRecord, SecretRecord } from './record.js';

/** What is told of a secret that is not the current one. */
export interface Superseded {
  validUntilMs: number;
  /** When the next one was made; left out where that is not on record. */
  sinceMs?: number;
}

/** Answer of {@link decide}. */
export interface Decision {
  code: DecisionCode;
  /** What the key may do at the asking service. There for refusals too, but only where the key is meant for that service: without it say nothing of the key. */
  scopes?: string[];
  /** There, under the same condition, where the presented secret is not the current one. */
  superseded?: Superseded;
}

/**
 * Decides on a key from what is known of it: the first of {@link CHECKS} that fails gives the code.
 *
 * @param secret what `matchSecret` found for the presented text
 */
export function decide(
  record: KeyRecord,
  secret: SecretRecord | null,
  request: KeyRequest,
  nowMs: number,
): Decision {
  const subject = subjectOf(record, secret, request, nowMs);
  const code = codeOf(subject);
  if (secret === null || subject.grant === undefined) return { code };
  const { scopes } = subject.grant;
  const superseded = supersededOf(record, secret);
  return superseded === null ? { code, scopes } : { code, scopes, superseded };
}

function supersededOf({ secrets }: KeyRecord, secret: SecretRecord): Superseded | null {
  const { number, validUntilMs } = secret;
  if (validUntilMs === null) return null;
  const next = secrets.find((one) => one.number === number + 1);
  return next === undefined ? { validUntilMs } : { validUntilMs, sinceMs: next.issuedAtMs };
}

/** The first check that fails gives it. A plain loop: each request of each service goes through here. */
function codeOf(subject: Subject): DecisionCode {
  for (const check of CHECKS) if (!check.passes(subject)) return check.code;
  return 'VALID';
}

/** How one check went. */
export interface CheckResult {
  name: RecordCheckName;
  passed: boolean;
  /** The verdict where this is the first that fails. */
  code: DecisionCode;
  detail: string;
}

/** Every check of {@link decide} in its order, those after a failure too. It names what the key holds: for its admins only. */
export function explainDecision(
  record: KeyRecord,
  secret: SecretRecord | null,
  request: KeyRequest,
  nowMs: number,
): CheckResult[] {
  const subject = subjectOf(record, secret, request, nowMs);
  return CHECKS.map(({ name, code, passes, detail }) => ({
    name,
    passed: passes(subject),
    code,
    detail: detail(subject),
  }));
}

/** The checks that concern one service's question, not the key as such. */
const OF_A_SERVICE: ReadonlySet<RecordCheckName> = new Set(['service', 'environment', 'scopes']);

/** Decides whether a key may be used at all, by whoever presents it, for whatever service: all checks but those of one service. */
export function decideForHolder(
  record: KeyRecord,
  secret: SecretRecord | null,
  clientIp: string,
  nowMs: number,
): DecisionCode {
  const subject = subjectOf(record, secret, { service: '', clientIp }, nowMs);
  const failed = CHECKS.find((check) => !OF_A_SERVICE.has(check.name) && !check.passes(subject));
  return failed?.code ?? 'VALID';
}

function subjectOf(
  record: KeyRecord,
  secret: SecretRecord | null,
  request: KeyRequest,
  nowMs: number,
): Subject {
  return { record, secret, grant: grantFor(record.grants, request.service), request, nowMs };
}

function grantFor(grants: readonly Grant[], service: string): Grant | undefined {
  for (const grant of grants) if (grant.service === service) return grant;
  return undefined;
}
