const PART = /^[A-Za-z0-9_-]+$/;

/**
 * Whether a text is a signed JWT in its one spelling: three parts of base64url, each as its bytes are written. The last letter of a part
 * has bits that nobody reads, so that a signature could be written in several ways and one token have several texts.
 */
export function isCompactJwt(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 3 && parts.every(isCanonical);
}

function isCanonical(part: string): boolean {
  return PART.test(part) && Buffer.from(part, 'base64url').toString('base64url') === part;
}
