/**
 * The same text in one piece, for what is kept for long: V8 keeps a text that was put together as the tree of its parts, and one
 * that was cut out together with the whole that it comes from.
 */
export function inOnePiece(text: string): string {
  return Buffer.from(text).toString();
}

const MAX_HELD = 1_000;

/** Of equal texts gives one, in one piece: what many keys have alike is kept once. The oldest of more than 1,000 are let go. */
export class SharedTexts {
  private readonly held = new Map<string, string>();

  of(text: string): string {
    const before = this.held.get(text);
    if (before !== undefined) return before;
    const own = inOnePiece(text);
    this.held.set(own, own);
    if (this.held.size > MAX_HELD) this.held.delete(this.held.keys().next().value!);
    return own;
  }
}
