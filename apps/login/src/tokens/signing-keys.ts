import { createPrivateKey } from 'node:crypto';
import { ConflictException } from '@nestjs/common';
import type { JWK } from 'jose';
import type { DataSource, EntityManager } from 'typeorm';
import { ConfigError } from '#server';
import { ACCESS_TOKEN_SECONDS } from './access-token-life.js';
import { newKeyPair } from './new-key-pair.js';
import { seal, unseal } from './sealing.js';
import { SigningKeyEntity } from './signing-key.entity.js';
import { TokenKeys, type Signer } from './token-keys.js';

/** How long a key is published before it signs: verifiers may hold a set for 10 minutes. */
export const PUBLISH_AHEAD_MS = 630_000;

const REFRESH_MS = 10_000;
/** A token of a retired key may be good for its life, the time until every replica has noticed, and some skew. */
const RETIRED_MS = 2 * ACCESS_TOKEN_SECONDS * 1_000;
/** Held while keys are made or moved; any number of login's own. */
const ADVISORY_LOCK = 7_259_310_042;

/**
 * The keys of access tokens: one signs, the next is already published, retired ones stay published until no token of
 * theirs is good. All replicas share them through the database and read them again every 10 s; what was read last serves
 * while the database is away. Keys of another family, from when login was set to that, are left alone: not used, not published.
 */
export class SigningKeys extends TokenKeys {
  private keys: SigningKeyEntity[] = [];
  private signer: Signer | undefined;
  private readAtMs = -Infinity;
  private pending: Promise<void> | undefined;

  constructor(
    private readonly db: DataSource,
    private readonly by: { algorithm: SigningKeyEntity['algorithm']; sealingKey: Buffer },
    private readonly now: () => number = Date.now,
  ) {
    super();
  }

  /**
   * Makes the first keys where there are none, and reads what is there.
   *
   * @throws ConfigError where LOGIN_SECRET does not open the keys
   */
  override async start(): Promise<void> {
    await this.alone((manager) => this.fillUp(manager));
    await this.read();
  }

  override async current(): Promise<Signer> {
    await this.refresh();
    if (!this.signer) throw new Error('There is no signing key yet');
    return this.signer;
  }

  override async jwks(): Promise<{ keys: JWK[] }> {
    await this.refresh();
    const endedBefore = this.now() - RETIRED_MS;
    const published = this.keys.filter(
      (one) => (one.retiredAt?.getTime() ?? Infinity) > endedBefore,
    );
    return { keys: published.map((one) => one.publicJwk) };
  }

  /**
   * The next key signs, the current one is retired, and another next is published. Replicas follow within 10 s. A
   * compromised key is not retired but removed: every guard refuses it within 60 s.
   *
   * @throws ConflictException where the next key has not been published long enough, unless that must not matter
   */
  override async rotate(isCompromised: boolean): Promise<string> {
    const { algorithm } = this.by;
    const kid = await this.alone(async (manager) => {
      const keys = manager.getRepository(SigningKeyEntity);
      const next = await keys.findOneByOrFail({ algorithm, state: 'next' });
      const waitMs = next.createdAt.getTime() + PUBLISH_AHEAD_MS - this.now();
      if (waitMs > 0 && !isCompromised) throw tooEarly(waitMs);
      const retired = { state: 'retired', retiredAt: new Date(this.now()) } as const;
      if (isCompromised) await keys.delete({ algorithm, state: 'current' });
      else await keys.update({ algorithm, state: 'current' }, retired);
      await keys.update({ kid: next.kid }, { state: 'current' });
      await manager.query('DELETE FROM login.signing_key WHERE retired_at < $1', [
        new Date(this.now() - RETIRED_MS),
      ]);
      await this.fillUp(manager);
      return next.kid;
    });
    await this.read();
    return kid;
  }

  private alone<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return this.db.transaction(async (manager) => {
      await manager.query('SELECT pg_advisory_xact_lock($1)', [ADVISORY_LOCK]);
      return work(manager);
    });
  }

  private async fillUp(manager: EntityManager): Promise<void> {
    const keys = manager.getRepository(SigningKeyEntity);
    const { algorithm } = this.by;
    for (const state of ['current', 'next'] as const) {
      if (await keys.existsBy({ algorithm, state })) continue;
      await keys.insert(await this.makeKey(state));
    }
  }

  private async makeKey(state: 'current' | 'next'): Promise<SigningKeyEntity> {
    const { algorithm, sealingKey } = this.by;
    const { kid, publicJwk, privateKey } = await newKeyPair(algorithm);
    const secret = privateKey.export({ format: 'der', type: 'pkcs8' });
    return {
      kid,
      algorithm,
      state,
      publicJwk,
      privateSealed: seal(sealingKey, placeOf(kid), secret),
      createdAt: new Date(this.now()),
      retiredAt: null,
    };
  }

  /** Never rejects once keys are at hand: an outage leaves them as they are. */
  private async refresh(): Promise<void> {
    if (this.now() - this.readAtMs < REFRESH_MS && !this.pending) return;
    this.pending ??= this.read().finally(() => {
      this.pending = undefined;
    });
    await this.pending.catch((error: unknown) => {
      if (!this.signer) throw error;
    });
  }

  private async read(): Promise<void> {
    this.readAtMs = this.now();
    const { algorithm } = this.by;
    const keys = await this.db
      .getRepository(SigningKeyEntity)
      .find({ where: { algorithm }, order: { createdAt: 'ASC' } });
    const current = keys.find((one) => one.state === 'current');
    if (current && current.kid !== this.signer?.kid) this.signer = this.open(current);
    this.keys = keys;
  }

  private open({ kid, algorithm, privateSealed }: SigningKeyEntity): Signer {
    try {
      const der = unseal(this.by.sealingKey, placeOf(kid), privateSealed);
      const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
      return { algorithm, kid, key };
    } catch (cause) {
      const hint = 'LOGIN_SECRET is not the one that the signing keys were sealed with';
      throw new ConfigError(hint, { cause });
    }
  }
}

function placeOf(kid: string): string {
  return `login.signing_key/${kid}/private_sealed`;
}

function tooEarly(waitMs: number): ConflictException {
  const seconds = Math.ceil(waitMs / 1_000);
  return new ConflictException(
    `The next key must be published longer before it signs; try again in ${seconds} s`,
    { errorCode: 'CONFLICT' },
  );
}
