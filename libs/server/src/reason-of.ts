/** Why something failed, for people: where a host has several addresses, each has failed for a reason of its own. */
export function reasonOf(error: unknown): string {
  const { message, errors, code } = error as Partial<AggregateError> & { code?: unknown };
  return message || [errors ?? []].flat().map(reasonOf).join('; ') || String(code ?? error);
}
