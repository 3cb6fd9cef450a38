import { z } from 'zod';
import { rateLimits } from './catalog.js';
import { keptRange } from './address-range.js';
import { environment, keyId, quota } from './keys.js';
import { legacyScheme, MAX_LEGACY_HASH_CHARACTERS } from './legacy-scheme.js';
import {
  anyInstant,
  instant,
  instantOut,
  keptName,
  keptTags,
  metadata,
  page,
  pageOf,
  scopes,
  slug,
} from './primitives.js';
import { verdictCode } from './verdict.js';

/** Most keys of one call to `POST /v1/imports`. */
export const MAX_IMPORT_ITEMS = 1_000;
/** What is exported counts on from it, in 32 bits. */
const MAX_SOURCE_NUMBER = 1_000_000_000;

/** Id of an import. */
export const importId = z
  .string()
  .regex(/^imp_[0-9A-Za-z]{16}$/, 'Use an id such as imp_3kTMd7QpXvB2nYcF');

/**
 * Which side counts for imported keys. `shadow`: only the service's own, the platform answers dry runs; `dual`: either side opens,
 * and either side refuses; `cutover`: the platform alone.
 */
export const importMode = z.enum(['shadow', 'dual', 'cutover']).meta({ id: 'ImportMode' });
export type ImportMode = z.infer<typeof importMode>;

/** Name of a key at its source: 1 to 128 visible ASCII characters. */
const itemName = z.string().regex(/^[\x21-\x7e]{1,128}$/, 'Use 1 to 128 visible ASCII characters');

/**
 * A key to be imported. `item` names it at its source and makes a repetition harmless; `id` is given where the key's text
 * is a Keyward key, which carries it. `locator` is what the scheme's locator finds in the presented text. What describes a key is
 * kept at its source already, and taken by laxer rules than what is written anew: no key stays behind for its name.
 */
export const importItem = z
  .strictObject({
    item: itemName,
    hash: z.string().min(1).max(MAX_LEGACY_HASH_CHARACTERS),
    locator: z
      .string()
      .regex(/^[\x21-\x7e]{1,128}$/, 'Use 1 to 128 visible ASCII characters')
      .optional(),
    id: keyId.optional(),
    name: keptName.optional(),
    consumer: slug,
    environment: environment.default('live'),
    scopes: scopes.min(1),
    /** Its end as it was at the source, null for none: nothing is set that the holder does not know of. */
    expiresAt: anyInstant.nullable(),
    notBefore: instant.optional(),
    rateLimits: rateLimits.optional(),
    quota: quota.optional(),
    ipAllowlist: z.array(keptRange).max(100).default([]),
    tags: keptTags.default([]),
    metadata: metadata.default({}),
    enabled: z.boolean().default(true),
    /**
     * Of a key that is here already by its `id`, and was rotated at its source: `hash` is that of its new secret, the one before goes
     * on until then. Nothing else of the key becomes another. With the `number` of the secret at its source, which counts up, the word of
     * an earlier one that comes late, or again, brings it not back; once one was told of the key each item must have a higher one.
     */
    supersedes: z
      .strictObject({
        until: instant,
        number: z.int().min(1).max(MAX_SOURCE_NUMBER).optional().meta({
          description:
            'Which secret of the key it is at its source, counting up; needed, and higher, once one was told of the key',
        }),
      })
      .optional()
      .meta({
        description:
          'The key with this id was rotated at its source: hash is that of its new secret',
      }),
    /** Entropy of the secret in bits, where it is known; of less than 112 a fast hash, or a slow one that is cheap, is flagged as weak. */
    entropyBits: z.int().min(0).max(4_096).optional(),
    hint: z
      .strictObject({
        prefix: z.string().regex(/^[0-9A-Za-z_-]{0,12}$/, 'Use at most 12 letters, digits, _ or -'),
        last4: z.string().regex(/^[\x21-\x7e]{0,4}$/, 'Use at most 4 visible ASCII characters'),
      })
      .optional(),
  })
  .meta({ id: 'ImportItem' });
export type ImportItem = z.infer<typeof importItem>;

/**
 * `POST /v1/imports`. Calls with the same `service` and `source` add to one import, whose scheme stays as it is. Each item is
 * looked at by itself (see ImportItem): a bad one gets an error of its own and the others are imported.
 */
export const createImportBody = z
  .strictObject({
    service: slug,
    /** Name of the place that the keys come from. */
    source: slug.default('default'),
    /** Mode of a new import, by default the one that the service is in, `shadow` with its first; one that is there keeps its own. */
    mode: importMode.optional(),
    scheme: legacyScheme,
    items: z.array(z.looseObject({})).min(1).max(MAX_IMPORT_ITEMS),
  })
  .meta({ id: 'CreateImportBody' });
export type CreateImportBody = z.infer<typeof createImportBody>;

/** How it went with one item, in the order in which they were sent. */
export const importResult = z
  .object({
    index: z.int(),
    item: z.string().nullable(),
    status: z.enum(['created', 'unchanged', 'rotated', 'failed']),
    keyId: keyId.optional(),
    weak: z.boolean().optional(),
    error: z.object({ code: z.string(), pointer: z.string(), detail: z.string() }).optional(),
  })
  .meta({ id: 'ImportResult' });
export type ImportResult = z.infer<typeof importResult>;

/** An import and how far it is. `upgraded` keys have been used and are kept under the platform's own digest since. */
export const keyImport = z
  .object({
    id: importId,
    service: slug,
    source: slug,
    mode: importMode,
    algorithm: z.string(),
    counts: z.object({ keys: z.int(), upgraded: z.int(), weak: z.int(), revoked: z.int() }),
    createdAt: instantOut,
    createdBy: z.string(),
    updatedAt: instantOut,
    version: z.int(),
  })
  .meta({ id: 'KeyImport' });
export type KeyImport = z.infer<typeof keyImport>;

/** Answer of `POST /v1/imports`. */
export const importedKeys = z
  .object({
    import: keyImport,
    created: z.int(),
    unchanged: z.int(),
    rotated: z.int(),
    failed: z.int(),
    results: z.array(importResult).max(MAX_IMPORT_ITEMS),
  })
  .meta({ id: 'ImportedKeys' });
export type ImportedKeys = z.infer<typeof importedKeys>;

/** `GET /v1/imports`: all of them, or those of one service, the oldest first. */
export const listImportsQuery = z.strictObject({ service: slug.optional(), ...page });
export type ListImportsQuery = z.infer<typeof listImportsQuery>;
export const importPage = pageOf(keyImport);
export type ImportPage = z.infer<typeof importPage>;

/** Answer of `POST /v1/imports/move`: all imports of the service, the oldest first. */
export const importList = z.object({ data: z.array(keyImport) }).meta({ id: 'ImportList' });
export type ImportList = z.infer<typeof importList>;

/** `POST /v1/imports/move`: moves all imports of a service on or back at once. */
export const moveImportsBody = z
  .strictObject({ service: slug, mode: importMode })
  .meta({ id: 'MoveImportsBody' });
export type MoveImportsBody = z.infer<typeof moveImportsBody>;

/** `PATCH /v1/imports/{id}`: moves one on or back. */
export const patchImportBody = z.strictObject({ mode: importMode }).meta({ id: 'PatchImportBody' });
export type PatchImportBody = z.infer<typeof patchImportBody>;

/**
 * How both sides decided on the same requests: the same, only the old side let pass, only the platform did. Whether a limit or quota
 * was spent is not compared: the side that only looks spends none.
 */
export const PARITY_OUTCOMES = ['agree', 'onlyOld', 'onlyCentral'] as const;
export const parityOutcome = z.enum(PARITY_OUTCOMES);
export type ParityOutcome = z.infer<typeof parityOutcome>;

const parityExample = z.object({
  keyId: z.string().nullable(),
  oldCode: verdictCode,
  centralCode: verdictCode,
  count: z.int(),
  lastSeenAt: instantOut,
});

/**
 * Answer of `GET /v1/imports/{id}/parity`, about the service of the import since one of its imports was last moved; examples are the
 * most frequent, ten at most.
 */
export const parityReport = z
  .object({
    service: slug,
    since: instantOut.nullable(),
    agree: z.int(),
    onlyOld: z.int(),
    onlyCentral: z.int(),
    examples: z.object({
      agree: z.array(parityExample),
      onlyOld: z.array(parityExample),
      onlyCentral: z.array(parityExample),
    }),
  })
  .meta({ id: 'ParityReport' });
export type ParityReport = z.infer<typeof parityReport>;

/**
 * `POST /v1/migration/parity`, by the service whose keys are compared: what both sides said, counted. A batch counts once, however
 * often it is sent under its `batchId`. `keyId` is the id by which either side knows the key.
 */
export const parityBatch = z
  .strictObject({
    batchId: z.uuid('Use a UUID, a new one for each batch'),
    entries: z
      .array(
        z.strictObject({
          keyId: itemName.nullable(),
          oldCode: verdictCode,
          centralCode: verdictCode,
          count: z.int().min(1).max(1_000_000_000),
        }),
      )
      .min(1)
      .max(1_000),
  })
  .meta({ id: 'ParityBatch' });
export type ParityBatch = z.infer<typeof parityBatch>;

/** Answer of `POST /v1/migration/parity`. */
export const takenParity = z.object({ accepted: z.int() }).meta({ id: 'TakenParity' });

/**
 * Answer of `GET /v1/migration`, to the service itself: which side counts for it, the least advanced of its imports with keys saying so;
 * null where it has none.
 */
export const migrationState = z
  .object({ service: slug, mode: importMode.nullable() })
  .meta({ id: 'MigrationState' });
export type MigrationState = z.infer<typeof migrationState>;
