const AGAIN_AFTER_MS = 10_000;
const MOST_KEPT = 100;

/** Tells an operator of faults, the same one every ten seconds at most: an outage is not told once a request. */
export class Faults {
  private readonly toldAtMs = new Map<string, number>();

  /** @param onFault by default a warning of the process, which Node writes to the standard error output */
  constructor(
    private readonly onFault: (error: Error) => void = (error) =>
      process.emitWarning(error.message, { type: 'KeyGuardWarning' }),
  ) {}

  tell(error: Error): void {
    const nowMs = performance.now();
    if (nowMs - (this.toldAtMs.get(error.message) ?? -Infinity) < AGAIN_AFTER_MS) return;
    if (this.toldAtMs.size >= MOST_KEPT) this.toldAtMs.clear();
    this.toldAtMs.set(error.message, nowMs);
    this.onFault(error);
  }
}

/** What the body of a refusal says, of a problem (RFC 9457) or by OAuth (RFC 6749); empty where it says nothing that can be read. */
export function reasonIn(body: unknown): string {
  if (typeof body !== 'object' || body === null) return '';
  const { code, detail, error, error_description: description } = body as Record<string, unknown>;
  const words = [code ?? error, detail ?? description].filter((one) => typeof one === 'string');
  return words.length === 0 ? '' : `: ${words.join(', ').slice(0, 300)}`;
}
