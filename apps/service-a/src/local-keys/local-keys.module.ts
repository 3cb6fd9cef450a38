import { randomBytes } from 'node:crypto';
import {
  Inject,
  Logger,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Pool } from 'pg';
import type { Verdict } from '#contracts';
import {
  createOwnGuard,
  KEY_GUARD,
  KeyGuard,
  VerificationUnavailable,
  type KeyQuestion,
  type ServiceToken,
  type Verify,
} from '#key-guard';
import { deriveKey } from '#key-core';
import { reasonOf } from '#server';
import type { ServiceAConfig } from '../config.js';
import { KeyProvisioner } from '../provisioning/key-provisioner.js';
import { SCOPES } from '../reports/report-scopes.js';
import { createCursors } from '../signed-cursors.js';
import { createUpstream } from '../upstream.js';
import { againAndAgain, type Repetition } from './again-and-again.js';
import { CentralSide } from './central-side.js';
import { DualProvisioner } from './dual-provisioner.js';
import { DualVerifier } from './dual-verifier.js';
import { ForeignKeys } from './foreign-keys.js';
import { createLocalPool, openConnections } from './local-database.js';
import { LocalKeys, type LocalKeysParts } from './local-keys.js';
import { ForeignSecret, LocalPeppers } from './local-peppers.js';
import { forgetRepeated, RepeatedChanges } from './repeated-changes.js';
import { LocalProvisioner, type Provisioner } from './local-provisioner.js';
import { LocalVerifier, type LocalQuestion } from './local-verifier.js';
import { sharedKeysOf } from './shared-keys.js';
import { ValidationController } from './validation.controller.js';

const OWN_PARTS = Symbol('OWN_PARTS');
const FOREIGN_CONNECTIONS = 2;
const TELLING_CONNECTIONS = 2;
/** Bound of one question to the key service, and of one report; where nobody else can answer the question has longer. */
const TIMEOUT_MS = 1_000;
const ALONE_TIMEOUT_MS = 3_000;
const FORGET_EVERY_MS = 60_000;

interface OwnParts {
  pool: Pool;
  /** For texts that may be keys from elsewhere. */
  foreignPool: Pool;
  /** For what waits for the key service to hear of a change: no key is to wait for that. */
  tellingPool: Pool | null;
  peppers: LocalPeppers;
  centralSide: CentralSide | null;
}

/**
 * This service's own keys, where it manages them: alone (`local`), or with the key service while keys move (`dual`). Takes the place of
 * the guard that asks the key service. Nothing of it exists in mode `central`.
 */
@Module({})
export class LocalKeysModule implements OnApplicationBootstrap, OnApplicationShutdown {
  private forgotten: Promise<void> | undefined;
  private forgetting: Repetition | undefined;

  constructor(@Inject(OWN_PARTS) private readonly parts: OwnParts) {}

  /** @param central the provisioner and token for the key service; for mode `dual` */
  static forRoot(
    config: ServiceAConfig,
    central: { provisioner: KeyProvisioner; token: ServiceToken } | null,
  ): DynamicModule {
    const { parts, verify, provisioner } = wire(config, central);
    const provided = [
      { provide: KEY_GUARD, useValue: createOwnGuard(verify) },
      { provide: KeyProvisioner, useValue: provisioner },
    ];
    return {
      module: LocalKeysModule,
      global: true,
      controllers: [ValidationController],
      providers: [{ provide: OWN_PARTS, useValue: parts }, ...provided, KeyGuard],
      exports: [...provided, KeyGuard],
    };
  }

  async onApplicationBootstrap(): Promise<void> {
    // while the database is away it is asked with the first key
    await this.parts.peppers.confirm().catch((error: unknown) => {
      if (error instanceof ForeignSecret) throw error;
      new Logger('LocalKeys').warn(awayText(error));
    });
    await openConnections(this.parts.pool).catch(() => undefined);
    await this.parts.centralSide?.start();
    // what is not forgotten now, as the store is away, is the next time
    const forget = () => forgetRepeated(this.parts.pool).catch(() => undefined);
    this.forgotten = forget();
    this.forgetting = againAndAgain(forget, FORGET_EVERY_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.parts.centralSide?.stop(), this.forgotten, this.forgetting?.stop()]);
    const { pool, foreignPool, tellingPool } = this.parts;
    await Promise.all([pool.end(), foreignPool.end(), tellingPool?.end()]);
  }
}

function awayText(error: unknown): string {
  return `The PostgreSQL that SERVICE_A_DATABASE_URL names cannot be used (${reasonOf(error)}); keys are answered 503 until it can`;
}

function wire(
  config: ServiceAConfig,
  central: { provisioner: KeyProvisioner; token: ServiceToken } | null,
): { parts: OwnParts; verify: Verify; provisioner: Provisioner } {
  const parts = storeOf(config);
  const { pool, peppers, environment } = parts;
  const foreignPool = createLocalPool(config.SERVICE_A_DATABASE_URL!, FOREIGN_CONNECTIONS);
  const foreign = new ForeignKeys({ pool: foreignPool, peppers, now: () => performance.now() });
  const local = new LocalVerifier(parts, foreign);
  // who asks the validation endpoint may ask for the other environment
  const asked = (question: KeyQuestion) => ({
    environment,
    ...question,
  });
  const localKeys = new LocalProvisioner(
    new LocalKeys(parts),
    createCursors(config.SERVICE_A_KEY_SECRET!.toString('base64'), 'api-keys'),
  );
  if (central === null)
    return {
      parts: { pool, foreignPool, tellingPool: null, peppers, centralSide: null },
      verify: (question) => byOwnStore(local, asked(question)),
      provisioner: localKeys,
    };
  const tellingPool = createLocalPool(config.SERVICE_A_DATABASE_URL!, TELLING_CONNECTIONS);
  const shared = { pool, tellingPool, peppers };
  const centralSide = centralSideOf(config, central.token);
  const sides = { local: localKeys, central: central.provisioner };
  const dual = new DualVerifier(local, centralSide);
  return {
    parts: { pool, foreignPool, tellingPool, peppers, centralSide },
    verify: (question) => dual.verify(asked(question)),
    provisioner: new DualProvisioner(sides, sharedKeysOf(shared, central.provisioner), centralSide),
  };
}

function storeOf(config: ServiceAConfig): LocalKeysParts {
  const secret = config.SERVICE_A_KEY_SECRET!;
  const pool = createLocalPool(config.SERVICE_A_DATABASE_URL!);
  return {
    pool,
    peppers: new LocalPeppers(pool, secret),
    repeated: new RepeatedChanges(deriveKey(secret, 'service-a/repeated/v1')),
    policy: config.SERVICE_A_KEY_POLICY,
    catalogue: SCOPES,
    environment: config.SERVICE_A_ENVIRONMENT,
    random: randomBytes,
    now: Date.now,
  };
}

function centralSideOf(config: ServiceAConfig, token: ServiceToken): CentralSide {
  const urls = config.KEY_SERVICE_URL!;
  const upstream = (timeoutMs: number) =>
    createUpstream({ name: 'The key service', urls, timeoutMs });
  return new CentralSide({
    keyService: upstream(TIMEOUT_MS),
    alone: upstream(ALONE_TIMEOUT_MS),
    token,
    graceMs: config.SERVICE_A_CENTRAL_GRACE_SECONDS * 1_000,
  });
}

function byOwnStore(local: LocalVerifier, question: LocalQuestion): Promise<Verdict> {
  return local.verify(question).catch((cause: unknown) => {
    throw new VerificationUnavailable('The own store does not answer', { cause });
  });
}
