/** Variables for a process whose calendar is set wrong by so many milliseconds; its monotonic clock is right. */
export function shiftedClock(byMs: number): { NODE_OPTIONS: string } {
  const code = `
    const now = () => Real.now() + (${byMs});
    const Real = globalThis.Date;
    globalThis.Date = new Proxy(Real, {
      get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
      construct: (target, words, made) => Reflect.construct(target, words.length > 0 ? words : [now()], made),
    });`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` };
}
