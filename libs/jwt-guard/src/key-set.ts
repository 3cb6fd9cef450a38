import { importJWK, type CryptoKey, type JWK } from 'jose';
import type { KeySource } from './key-source.js';
import type { PublishedFamily } from './options.js';
import { KeysUnavailable, TokenError } from './token-error.js';

const MAX_KID_CHARACTERS = 128;
const REFRESH_MS = 30_000;
/** With 20 s at the issuer and its caches, and 2 s to ask it, no key is used a minute after it was removed. */
const MAX_AGE_MS = 35_000;
const UNKNOWN_KID_MS = 30_000;
const RETRY_MS = 1_000;
const STALE_MS = 24 * 3_600_000;

/**
 * The issuer's public keys as last read. The last good set is kept for up to 24 h while the issuer is away; one that is
 * empty or cannot be read never replaces a good one. While in use it is read again every 30 s, in the
 * background; one that is older than 35 s is used only where the issuer has been asked in vain, so that a key that it no longer
 * publishes is soon refused.
 */
export class KeySet implements KeySource {
  private keys: ReadonlyMap<string, CryptoKey> = new Map();
  private text = '';
  private readAtMs = -Infinity;
  private triedAtMs = -Infinity;
  private failure: unknown;
  private pending: Promise<void> | undefined;

  constructor(
    private readonly algorithm: PublishedFamily,
    private readonly load: () => Promise<unknown>,
    /** Nobody sets it: ages and pauses are right whatever becomes of the calendar. */
    private readonly now: () => number,
  ) {}

  /** The key of a kid, if it is at hand and may be used unasked; starts a refresh in the background when one is due. */
  find(kid: unknown): CryptoKey | undefined {
    const nowMs = this.now();
    const ageMs = nowMs - this.readAtMs;
    if (ageMs >= STALE_MS || typeof kid !== 'string') return undefined;
    if (ageMs >= REFRESH_MS && nowMs - this.triedAtMs >= RETRY_MS) void this.reload();
    const isToBeConfirmed = ageMs >= MAX_AGE_MS && this.failure === undefined;
    return isToBeConfirmed ? undefined : this.keys.get(kid);
  }

  /**
   * The key of a kid, read from the issuer where it is not at hand; at most one such reading in 30 s.
   *
   * @throws TokenError when the issuer has no key of this name
   * @throws KeysUnavailable when the issuer cannot be asked and the kid is not known
   */
  async get(kid: unknown): Promise<CryptoKey> {
    if (typeof kid !== 'string' || kid.length > MAX_KID_CHARACTERS)
      throw new TokenError('Names no key');
    const known = this.find(kid);
    if (known) return known;
    const pauseMs = this.isUsable() ? UNKNOWN_KID_MS : RETRY_MS;
    if (this.pending || this.now() - this.triedAtMs >= pauseMs) await this.reload();
    const found = this.find(kid);
    if (found) return found;
    if (this.failure === undefined && this.isUsable())
      throw new TokenError('Signed with a key that the issuer does not publish');
    throw new KeysUnavailable('The keys of the issuer cannot be read', { cause: this.failure });
  }

  private isUsable(): boolean {
    return this.now() - this.readAtMs < STALE_MS;
  }

  /** Never rejects: what went wrong is kept in `failure`. */
  private reload(): Promise<void> {
    if (this.pending) return this.pending;
    this.triedAtMs = this.now();
    this.pending = this.read()
      .catch((error: unknown) => {
        this.failure = error;
      })
      .finally(() => {
        this.pending = undefined;
      });
    return this.pending;
  }

  private async read(): Promise<void> {
    const jwks = usableKeys(await this.load(), this.algorithm);
    const text = JSON.stringify(jwks);
    if (text !== this.text) this.keys = await importKeys(jwks, this.algorithm);
    this.text = text;
    this.readAtMs = this.now();
    this.failure = undefined;
  }
}

const SHAPES = {
  ES256: { kty: 'EC', crv: 'P-256', members: ['x', 'y'] },
  RS256: { kty: 'RSA', crv: undefined, members: ['n', 'e'] },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', members: ['x'] },
} as const satisfies Record<PublishedFamily, object>;

/** The public members of the keys that fit the pinned algorithm. @throws Error when there is none. */
function usableKeys(jwks: unknown, algorithm: PublishedFamily): JWK[] {
  const list = (jwks as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(list)) throw new Error('The answer is not a JSON Web Key Set');
  const { kty, crv, members } = SHAPES[algorithm];
  const fitting = (list as (JWK | null)[])
    .slice(0, 20)
    .filter(
      (key): key is JWK =>
        typeof key?.kid === 'string' &&
        key.kty === kty &&
        key.crv === crv &&
        (key.alg ?? algorithm) === algorithm &&
        (key.use ?? 'sig') === 'sig' &&
        (kty !== 'RSA' || isStrong(key)),
    );
  if (fitting.length === 0) throw new Error('The JSON Web Key Set holds no key that fits');
  return fitting.map((key) => ({
    kid: key.kid!,
    kty,
    ...(crv && { crv }),
    ...Object.fromEntries(members.map((name) => [name, key[name]])),
  }));
}

/** RSA below 2048 bits can be broken; RFC 7518, section 3.3, forbids it. */
function isStrong({ n }: JWK): boolean {
  return typeof n === 'string' && Buffer.from(n, 'base64url').length >= 2_048 / 8;
}

async function importKeys(
  jwks: JWK[],
  algorithm: PublishedFamily,
): Promise<ReadonlyMap<string, CryptoKey>> {
  const entries = await Promise.all(
    jwks.map(async (jwk) => [jwk.kid!, (await importJWK(jwk, algorithm)) as CryptoKey] as const),
  );
  return new Map(entries);
}
