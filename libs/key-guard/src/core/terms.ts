import type { Lease, ScopeRequirement } from '#contracts';
import { covers } from '#key-core';

/** A key service may tell of a policy for so long after it was changed. */
const LATE_MS = 1_000;

/** The service's policy on old verdicts, as the last answer told it; where it is not known, none is used. */
export class Terms {
  private graceSeconds = 0;
  private sensitive: readonly string[] = [];
  private voidUntilMs = -Infinity;

  /** @param mostSeconds what the guard itself allows */
  constructor(private readonly mostSeconds: number) {}

  /** What an answer to a question sent then says. */
  learn({ graceSeconds, sensitiveScopes }: Lease, sentAtMs: number): void {
    if (sentAtMs < this.voidUntilMs) return;
    this.graceSeconds = graceSeconds;
    this.sensitive = sensitiveScopes;
  }

  /** The policy was changed: until it is told anew there is no grace. */
  forget(nowMs: number): void {
    this.graceSeconds = 0;
    this.sensitive = [];
    this.voidUntilMs = nowMs + LATE_MS;
  }

  /** For how long an old verdict may be used for these scopes, in milliseconds. */
  graceMsFor(scopes: ScopeRequirement | undefined): number {
    const wanted = Array.isArray(scopes) ? scopes : (scopes?.anyOf ?? []);
    const isSensitive = wanted.some((one) =>
      this.sensitive.some((scope) => covers(scope, one) || covers(one, scope)),
    );
    return isSensitive ? 0 : Math.min(this.mostSeconds, this.graceSeconds) * 1_000;
  }
}
