import type { Logger } from 'pino';
import { TOKEN_VERIFIER, type TokenVerifier } from '#jwt-guard';
import type { AppOptions } from '#server';
import { describeFeed, registerFeed } from './changes/feed.route.js';
import { Fence } from './changes/fence.js';
import type { KeyServiceEnv } from './config.js';
import { INTROSPECT_PATH } from './introspection/introspection.controller.js';
import { KEY_MATERIAL, type KeyMaterial } from './key-material.js';
import { KeyServiceModule } from './key-service.module.js';
import { Leases } from './lease/leases.js';
import { IMPORTS_PATH } from './migration/imports.controller.js';
import { ImportRules } from './migration/import-rules.js';
import {
  describeMigration,
  MIGRATION_PATH,
  registerMigration,
} from './migration/migration.route.js';
import { Stores } from './stores.js';
import { registerUsage, describeUsage, USAGE_PATH } from './usage/usage.route.js';
import { UsageIntake } from './usage/usage-intake.js';
import { VERIFY_BATCH_PATH, VERIFY_PATH } from './verify/question-of.js';
import { SwiftVerifier } from './verify/swift-verifier.js';
import { registerVerify } from './verify/verify.route.js';
import { describeVerify } from './verify/verify.openapi.js';
import { Verifier } from './verify/verifier.js';

/** A thousand keys with all that may be said of them. */
const IMPORT_BODY_BYTES = 8 * 1_024 * 1_024;

/**
 * A change has 3 s to be committed; a read, which may be of many keys, a little more. Reads take 6 of management's 10 connections at
 * most.
 */
const READS = { withinMs: 4_000, atOnce: 6 };

/** The key service as the server library starts it. */
export function appOptions(env: KeyServiceEnv, log: Logger): AppOptions {
  return {
    name: 'key-service',
    module: KeyServiceModule.forRoot(env, log),
    env,
    log,
    port: env.KEY_SERVICE_PORT,
    portVariable: 'KEY_SERVICE_PORT',
    http: {
      keyPaths: [VERIFY_PATH, VERIFY_BATCH_PATH, INTROSPECT_PATH],
      quietPaths: [VERIFY_PATH, VERIFY_BATCH_PATH, USAGE_PATH, MIGRATION_PATH],
      bodyLimits: { [IMPORTS_PATH]: IMPORT_BODY_BYTES },
      formPaths: [INTROSPECT_PATH],
    },
    reads: READS,
    openApi: {
      name: 'key-service',
      title: 'Keyward key service',
      description: 'Issues, validates, limits, rotates and revokes API keys.',
      complete: (document) => {
        describeVerify(document);
        describeFeed(document);
        describeUsage(document);
        describeMigration(document);
      },
    },
    isReady: (app) => app.get(Fence).isReady(),
    routes: (app, fastify) => {
      const tokens = app.get<TokenVerifier>(TOKEN_VERIFIER);
      const { follower, fence, hotPool: pool } = app.get(Stores);
      const { now } = app.get<KeyMaterial>(KEY_MATERIAL);
      // answers for other origins have headers that only Fastify's side knows of
      const swift = env.CORS_ORIGINS.length === 0 ? app.get(SwiftVerifier) : null;
      const [verifier, leases] = [app.get(Verifier), app.get(Leases)];
      registerVerify(fastify, { verifier, swift, leases, tokens });
      registerFeed(fastify, { follower, fence, pool, tokens, now });
      registerUsage(fastify, app.get(UsageIntake), tokens);
      registerMigration(fastify, { rules: app.get(ImportRules), pool, tokens });
    },
  };
}
