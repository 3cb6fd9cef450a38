/**
 * The same text in one piece, for what is kept for long: V8 keeps a text that was put together as the tree of its parts, and one
 * that was cut out together with the whole that it comes from.
 */
export function inOnePiece(text: string): string {
  return Buffer.from(text).toString();
}
