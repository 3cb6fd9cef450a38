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
