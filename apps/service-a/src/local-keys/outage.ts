/** Since when something fails: from its first failure after the last success. */
export class Outage {
  private sinceMs: number | null = null;

  /** @param atMs when what has failed was begun */
  failed(atMs: number): void {
    this.sinceMs ??= atMs;
  }

  ended(): void {
    this.sinceMs = null;
  }

  /** How long it lasts; 0 where there is none. */
  lastsMs(nowMs: number): number {
    return this.sinceMs === null ? 0 : nowMs - this.sinceMs;
  }
}
