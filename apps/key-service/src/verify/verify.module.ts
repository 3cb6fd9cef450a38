import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import type { KeyServiceEnv } from '../config.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { QuotaLedger } from '../quota/quota-ledger.js';
import { Stores } from '../stores.js';
import { LOG } from '../tokens.js';
import { Usage } from '../usage/usage.js';
import { FOREIGN_KEYS, type ForeignKeys } from './foreign-keys.js';
import { KnownRecords } from './known-records.js';
import { LocalLimits } from './local-limits.js';
import { PresentedTexts } from './presented-texts.js';
import { RecordCache } from './record-cache.js';
import { RecordStore } from './record-store.js';
import { Spender } from './spender.js';
import { SwiftVerifier } from './swift-verifier.js';
import { SECRET_UPGRADES, type SecretUpgrades } from './secret-upgrades.js';
import { Verifier, type VerifierParts } from './verifier.js';

/** Injection token of the parts as they are wired. */
const PARTS = Symbol('VERIFY_PARTS');

/** The hot path. */
@Module({})
export class VerifyModule {
  static forRoot(env: KeyServiceEnv): DynamicModule {
    const parts = {
      provide: PARTS,
      inject: [Stores, Usage, FOREIGN_KEYS, SECRET_UPGRADES, KEY_MATERIAL, LOG],
      useFactory: (
        stores: Stores,
        usage: Usage,
        ...[foreign, upgrades, material, log]: [ForeignKeys, SecretUpgrades, KeyMaterial, Logger]
      ) => wire(stores, env, { usage, foreign, upgrades, material, log }),
    };
    const exported = [
      { provide: RecordStore, inject: [PARTS], useFactory: (wired: Wired) => wired.store },
      { provide: Spender, inject: [PARTS], useFactory: (wired: Wired) => wired.spender },
      { provide: Verifier, inject: [PARTS], useFactory: (wired: Wired) => wired.verifier },
      { provide: SwiftVerifier, inject: [PARTS], useFactory: (wired: Wired) => wired.swift },
    ];
    return { module: VerifyModule, providers: [parts, ...exported], exports: exported };
  }
}

type Wired = ReturnType<typeof wire>;

function wire(
  { hotPool, link, fence }: Stores,
  { CACHE_TTL_SECONDS: ttlSeconds, GRACE_SECONDS: graceSeconds }: KeyServiceEnv,
  options: Pick<VerifierParts, 'foreign' | 'upgrades' | 'material' | 'log'> & { usage: Usage },
) {
  const { material } = options;
  const { cacheKey: macKey, now } = material;
  const store = new RecordStore(hotPool, now);
  const cache = link && new RecordCache(link, { macKey, ttlSeconds, graceSeconds });
  const ledger = new QuotaLedger(hotPool);
  const spender = new Spender({ cache, limits: new LocalLimits(), ledger, fence, now });
  const known = new KnownRecords({ fence, material, cacheTtlSeconds: ttlSeconds });
  const shared = { cache, fence, known, texts: new PresentedTexts(material.peppers), ...options };
  const verifier = new Verifier({ ...shared, store, spender });
  return { store, spender, verifier, swift: new SwiftVerifier({ ...shared, verifier }) };
}
