import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { slug } from '#contracts';
import { ConfigError } from '#server';

const name = '(?:[A-Za-z0-9_=@+-]|\\{consumer\\})(?:[A-Za-z0-9_.=@+-]|\\{consumer\\})*';
/** Bound of one request to a target, in milliseconds: several make a delivery, and somebody waits for its answer. */
const timeoutMs = z.int().min(100).max(10_000).default(1_000);

const rules = {
  /**
   * Places that may be written: a path, or the beginning of one where it ends with a slash. `{consumer}` stands for the
   * consumer of the key, so that one does not get what is another's.
   */
  allow: z.array(z.string().regex(new RegExp(`^${name}(?:/${name})*/?$`))).min(1),
  /** Keys that are granted for these services only; for any by default. */
  services: z.array(slug).min(1).optional(),
};

const file = z.strictObject({
  type: z.literal('file'),
  /** Folder that paths are in. */
  directory: z.string().min(1),
  /** Of the file, in octal. */
  mode: z
    .string()
    .regex(/^0?[0-7]{3}$/)
    .default('600'),
  ...rules,
});

const vault = z.strictObject({
  type: z.literal('vault'),
  address: z.url({ protocol: /^https?$/ }),
  namespace: z.string().min(1).optional(),
  /** Of the KV engine, version 2. */
  mount: z.string().min(1).default('secret'),
  /** Holds the key where a request names no other. */
  field: z.string().min(1).default('key'),
  auth: z.union([
    z.strictObject({ tokenFile: z.string().min(1) }),
    z.strictObject({
      roleId: z.string().min(1),
      secretIdFile: z.string().min(1).optional(),
      mount: z.string().min(1).default('approle'),
    }),
  ]),
  timeoutMs,
  ...rules,
});

/** Credentials come as every AWS SDK finds them. */
const aws = z.strictObject({
  type: z.literal('aws'),
  region: z.string().min(1).optional(),
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  timeoutMs,
  ...rules,
});

const targets = z.record(slug, z.discriminatedUnion('type', [file, vault, aws]));

/** Places that secrets may be delivered to, by name, as the operator has described them. */
export type TargetSettings = z.infer<typeof targets>;
export type TargetSetting = TargetSettings[string];

/** @throws ConfigError naming what is wrong in the file; none is read without a path */
export function readTargetSettings(path: string | undefined): TargetSettings {
  if (path === undefined) return {};
  const result = targets.safeParse(readJson(path));
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`DELIVERY_TARGETS: ${path} is not as it should be:\n${lines.join('\n')}`);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const cause = error as Error;
    throw new ConfigError(`DELIVERY_TARGETS: ${path} cannot be read: ${cause.message}`, { cause });
  }
}
