/**
 * Shape of a Keyward key, for secret scanners: prefix, environment, id (16), secret (43) and checksum (6) in base62.
 * Published in the README; a match is a key of some Keyward installation, whose checksum tells chance hits apart.
 */
export const KEY_TEXT = /\b[a-z0-9]{1,12}_(?:live|test)_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\b/;

const LOOKS_SECRET =
  /[a-z0-9]{1,12}_(?:live|test)_[0-9A-Za-z_]{8,}|kw[rs]_[0-9A-Za-z_-]{16,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/g;

/** `text` with everything that looks like a key, a refresh token, a client secret or a JWT replaced by `[masked]`. */
export function maskSecrets(text: string): string {
  return text.replace(LOOKS_SECRET, '[masked]');
}

/** A parameter whose value is a secret by its name, whatever it looks like. */
const SECRET_PARAMETER =
  /([?&](?:[\w-]*(?:password|secret|token)|(?:(?:x-)?api[-_]?)?key)=)[^&#]*/gi;

/**
 * An address with the secrets in it masked, by what they look like or how their parameter is named, also where they are
 * percent-encoded, up to three times over. An address without any comes back as it is.
 */
export function maskUrl(url: string): string {
  const text = decoded(url);
  const masked = maskSecrets(text).replace(SECRET_PARAMETER, '$1[masked]');
  return masked === text ? maskSecrets(url) : masked;
}

/**
 * Whether an address holds a secret in a place where it is one. {@link maskUrl} masks more: `&` and `=` that are percent-encoded
 * within a value are text (`q=a%26token%3Dx`), unless the value is an address with a query itself.
 */
export function urlHoldsSecret(url: string): boolean {
  if (looksSecret(url)) return true;
  const [path = '', ...queries] = url.split('?');
  return isNamedSecret(decoded(path)) || queries.join('?').split('&').some(isSecretParameter);
}

function isSecretParameter(parameter: string): boolean {
  const end = parameter.indexOf('=') + 1 || parameter.length;
  const [, ...queriesWithin] = decoded(parameter.slice(end)).split('?');
  return [decoded(parameter.slice(0, end)), ...queriesWithin].some((one) =>
    isNamedSecret(`?${one}`),
  );
}

function isNamedSecret(text: string): boolean {
  return text.search(SECRET_PARAMETER) >= 0;
}

/** Whether something in `text` looks like a secret, also where it is percent-encoded, up to three times over. */
export function looksSecret(text: string): boolean {
  return [text, decoded(text)].some((one) => maskSecrets(one) !== one);
}

function decoded(text: string): string {
  let plain = text;
  for (let round = 0; round < 3 && plain.includes('%'); round += 1) {
    plain = plain.replace(/%([2-7][0-9a-f])/gi, (_, hex: string) =>
      String.fromCharCode(parseInt(hex, 16)),
    );
  }
  return plain;
}

const WHOLE_SECRET =
  /[a-z0-9]_(?:live|test)_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}|kw[rs]_[0-9A-Za-z_-]{43}|eyJ[\w-]{8,}\.eyJ[\w-]+\.[\w-]+/;

/** Whether `text` holds a whole key, refresh token, client secret or JWT: somebody has put it where it would be kept. */
export function holdsSecret(text: string): boolean {
  return WHOLE_SECRET.test(text);
}
