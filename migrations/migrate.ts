import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Client } from 'pg';
import { AbstractLogger, DataSource, MigrationExecutor } from 'typeorm';
import { z } from 'zod';
import { credentialsOf, serversIn, writable } from '#postgres';
// Past the library's door, which would bring the whole of Nest into a process that only migrates.
import { loadConfig } from '../libs/server/src/load-config.js';
import { reasonOf } from '../libs/server/src/reason-of.js';
import { pastLocks } from './past-locks.js';
import { ensureGroupRoles, ensureLoginRole, type RuntimeRole } from './runtime-roles.js';
import { Login1700000001000 } from './1700000001000-login.js';
import { Keys1700000002000 } from './1700000002000-keys.js';
import { Quotas1700000003010 } from './1700000003010-quotas.js';
import { Management1700000003020 } from './1700000003020-management.js';
import { Usage1700000003030 } from './1700000003030-usage.js';
import { ReplicaEpoch1700000003090 } from './1700000003090-replica-epoch.js';
import { ListOrders1700000004000 } from './1700000004000-list-orders.js';
import { Timelines1700000004001 } from './1700000004001-timelines.js';
import { Imports1700000004100 } from './1700000004100-imports.js';
import { ServiceA1700000004110 } from './1700000004110-service-a.js';
import { OwnSecret1700000004120 } from './1700000004120-own-secret.js';
import { SigningFamilies1700000004500 } from './1700000004500-signing-families.js';
import { ClientKeys1700000004510 } from './1700000004510-client-keys.js';
import { LoginIdempotency1700000005000 } from './1700000005000-login-idempotency.js';
import { ClientVersion1700000005010 } from './1700000005010-client-version.js';
import { HandedOver1700000006000 } from './1700000006000-handed-over.js';
import { SecretsOfImports1700000006010 } from './1700000006010-secrets-of-imports.js';
import { NameSearch1700000006100 } from './1700000006100-name-search.js';
import { HistorySince1700000006110 } from './1700000006110-history-since.js';
import { ParityAnew1700000006200 } from './1700000006200-parity-anew.js';
import { OwnIdempotency1700000006300 } from './1700000006300-own-idempotency.js';
import { UsageJournal1700000006400 } from './1700000006400-usage-journal.js';
import { PlaceOfSecrets1700000006500 } from './1700000006500-place-of-secrets.js';
import { PlacesOfAllSecrets1700000006510 } from './1700000006510-places-of-all-secrets.js';
import { PartsInOrder1700000006520 } from './1700000006520-parts-in-order.js';
import { NamesFoundAtOnce1700000006530 } from './1700000006530-names-found-at-once.js';
import { StoppedOfConsumers1700000006600 } from './1700000006600-stopped-of-consumers.js';
import { PartsBesideKeys1700000006700 } from './1700000006700-parts-beside-keys.js';
import { PartsOfAllKeys1700000006710 } from './1700000006710-parts-of-all-keys.js';
import { RulesOfReplicas1700000006800 } from './1700000006800-rules-of-replicas.js';
import { ReplicaOverwritten1700000006900 } from './1700000006900-replica-overwritten.js';
import { SourceNumbers1700000007000 } from './1700000007000-source-numbers.js';
import { SourceNumberOfKeys1700000007010 } from './1700000007010-source-number-of-keys.js';
import { ImportsOfSecrets1700000007020 } from './1700000007020-imports-of-secrets.js';

/** Every change of any schema, in the order in which they are made. */
export const MIGRATIONS = [
  Login1700000001000,
  Keys1700000002000,
  Quotas1700000003010,
  Management1700000003020,
  Usage1700000003030,
  ReplicaEpoch1700000003090,
  ListOrders1700000004000,
  Timelines1700000004001,
  Imports1700000004100,
  ServiceA1700000004110,
  OwnSecret1700000004120,
  SigningFamilies1700000004500,
  ClientKeys1700000004510,
  LoginIdempotency1700000005000,
  ClientVersion1700000005010,
  HandedOver1700000006000,
  SecretsOfImports1700000006010,
  NameSearch1700000006100,
  HistorySince1700000006110,
  ParityAnew1700000006200,
  OwnIdempotency1700000006300,
  UsageJournal1700000006400,
  PlaceOfSecrets1700000006500,
  PlacesOfAllSecrets1700000006510,
  PartsInOrder1700000006520,
  NamesFoundAtOnce1700000006530,
  StoppedOfConsumers1700000006600,
  PartsBesideKeys1700000006700,
  PartsOfAllKeys1700000006710,
  RulesOfReplicas1700000006800,
  ReplicaOverwritten1700000006900,
  SourceNumbers1700000007000,
  SourceNumberOfKeys1700000007010,
  ImportsOfSecrets1700000007020,
];

/** Roles that hold the rights of an app: login's, the key service's, and service-a's where it manages its own keys. */
const GROUPS = ['keyward_login', 'keyward_key_service', 'keyward_service_a'] as const;

/** Held while migrating; any number of the platform's own, known to nobody else. */
const ADVISORY_LOCK = 7_259_310_041;
const CONNECT_TIMEOUT_MS = 10_000;
const LOCK_TIMEOUT_MS = 120_000;

/** Where to migrate, as whom, and who may use what is there afterwards. */
export interface MigrateOptions {
  /** Owner of the database: may create schemas and, unless they are there already, roles. */
  ownerUrl: string;
  /** Under which login works; its role is made, with this password, where it cannot log in yet. */
  loginUrl?: string | undefined;
  /** The same for the key service. */
  keyServiceUrl?: string | undefined;
  /** The same for service-a, where it manages its own keys. */
  serviceAUrl?: string | undefined;
}

/**
 * Brings all schemas up to date and makes sure that the runtime roles can log in. Safe to be started several times at once:
 * the others wait, at most two minutes, and find nothing left to do. Safe beside traffic too: see {@link pastLocks} for what it waits for.
 *
 * @returns names of the migrations that were run
 * @throws Error saying what to do; SQL to be run by hand where the owner may not create roles
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const roles = runtimeRoles(options);
  return alone(options.ownerUrl, async (owner) => {
    await ensureGroupRoles(owner, GROUPS, roles);
    const done = await withDataSource(options.ownerUrl, runAll);
    for (const role of roles) await ensureLoginRole(owner, role);
    return done;
  });
}

/** Takes the last migration back. Its data is gone afterwards. */
export async function revertLast(ownerUrl: string): Promise<void> {
  await alone(ownerUrl, () =>
    withDataSource(ownerUrl, (db) =>
      pastLocks(db, () => db.undoLastMigration({ transaction: 'each' })),
    ),
  );
}

/** @returns names of those that were not run before, in whichever try they were */
async function runAll(db: DataSource): Promise<string[]> {
  const pending = await new MigrationExecutor(db).getPendingMigrations();
  await pastLocks(db, () => db.runMigrations({ transaction: 'each' }));
  return pending.map((migration) => migration.name);
}

function runtimeRoles({ ownerUrl, ...urls }: MigrateOptions): RuntimeRole[] {
  const owner = credentialsOf(ownerUrl).name;
  const wanted: { url: string | undefined; group: string }[] = [
    { url: urls.loginUrl, group: GROUPS[0] },
    { url: urls.keyServiceUrl, group: GROUPS[1] },
    { url: urls.serviceAUrl, group: GROUPS[2] },
  ];
  return wanted.filter(
    (role): role is RuntimeRole => role.url !== undefined && credentialsOf(role.url).name !== owner,
  );
}

/** Runs `work` while no other migration runs on this database. */
async function alone<T>(ownerUrl: string, work: (owner: Client) => Promise<T>): Promise<T> {
  const { connectionString, Client } = writable(ownerUrl);
  const owner = new Client({
    connectionString,
    application_name: 'keyward-migrations',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  });
  await owner.connect().catch((cause: unknown) => {
    const servers = serversIn(ownerUrl).map(({ host, port }) => `${host}:${port}`);
    const whose = 'that MIGRATION_DATABASE_URL or DATABASE_URL names';
    const message = `the PostgreSQL ${whose}, at ${servers.join(', ')}, cannot be used (${reasonOf(cause)})`;
    throw new Error(message, { cause });
  });
  try {
    await owner.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await owner.query('SELECT pg_advisory_lock($1)', [ADVISORY_LOCK]);
    return await work(owner);
  } finally {
    await owner.end();
  }
}

/** What fails is thrown, and a try that did not get a lock is no failure. */
class Silence extends AbstractLogger {
  protected writeLog(): void {}
}

async function withDataSource<T>(url: string, work: (db: DataSource) => Promise<T>): Promise<T> {
  const { connectionString, Client } = writable(url);
  const db = new DataSource({
    type: 'postgres',
    url: connectionString,
    extra: { Client },
    migrations: MIGRATIONS,
    migrationsTableName: 'keyward_migrations',
    installExtensions: false,
    applicationName: 'keyward-migrations',
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    poolSize: 1,
    logger: new Silence(),
  });
  await db.initialize();
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}

const migrationEnv = z
  .object({
    MIGRATION_DATABASE_URL: z.string().optional(),
    DATABASE_URL: z.string().optional(),
    LOGIN_DATABASE_URL: z.string().optional(),
    KEY_SERVICE_DATABASE_URL: z.string().optional(),
    SERVICE_A_DATABASE_URL: z.string().optional(),
  })
  .refine((env) => env.MIGRATION_DATABASE_URL ?? env.DATABASE_URL, {
    path: ['MIGRATION_DATABASE_URL'],
    error: "must be the owner's connection string (or DATABASE_URL)",
  });

/** `node dist/migrations/migrate.js [--down]` */
async function main(): Promise<void> {
  try {
    const env = loadConfig(migrationEnv);
    const ownerUrl = env.MIGRATION_DATABASE_URL ?? env.DATABASE_URL ?? '';
    if (process.argv.includes('--down')) {
      await revertLast(ownerUrl);
      console.log('The last migration is taken back');
      return;
    }
    const done = await migrate({
      ownerUrl,
      loginUrl: env.LOGIN_DATABASE_URL,
      keyServiceUrl: env.KEY_SERVICE_DATABASE_URL,
      serviceAUrl: env.SERVICE_A_DATABASE_URL,
    });
    console.log(done.length > 0 ? `Migrated: ${done.join(', ')}` : 'The database is up to date');
  } catch (error) {
    console.error(`Migrating failed: ${reasonOf(error)}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await main();
}
