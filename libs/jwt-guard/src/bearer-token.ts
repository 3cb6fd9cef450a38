/** What may hold the headers as they were sent: a request of Express, and of Fastify. */
interface SentRequest {
  rawHeaders?: readonly string[];
  raw?: { rawHeaders?: readonly string[] };
}

/** Whether a request has more than one `Authorization` header. Node silently keeps the first, a proxy may have looked at the last. */
export function hasSeveralTokens(request: SentRequest): boolean {
  const sent = request.rawHeaders ?? request.raw?.rawHeaders ?? [];
  let count = 0;
  for (let i = 0; i < sent.length; i += 2)
    if (sent[i]!.toLowerCase() === 'authorization') count += 1;
  return count > 1;
}

/**
 * The token of an `Authorization: Bearer` header (RFC 6750, section 2.1).
 *
 * @returns null where there is none, or another scheme is used
 */
export function bearerToken(request: {
  headers: { authorization?: string | undefined };
}): string | null {
  const header = request.headers.authorization;
  if (header === undefined || header.slice(0, 7).toLowerCase() !== 'bearer ') return null;
  const token = header.slice(7).trim();
  return token === '' ? null : token;
}
