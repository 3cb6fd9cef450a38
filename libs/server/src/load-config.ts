import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import './plain-messages.js';

/** A setting is missing or wrong. The message names every variable and what it needs, never a value. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Settings of an app, checked once before it starts.
 *
 * Read from the process environment; outside production also from the file `env` of the Keyward home
 * (`KEYWARD_HOME`, by default `.keyward`), over which the process environment wins. A variable `NAME` may be given as
 * `NAME_FILE`, the path of a file that holds it, as container secrets are. An empty variable counts as not set.
 *
 * @param schema one zod object; each variable is one of its members
 * @throws ConfigError naming what is missing or wrong
 */
export function loadConfig<T extends z.ZodType>(schema: T): z.infer<T> {
  const given = process.env;
  const home = given['KEYWARD_HOME'] ?? '.keyward';
  const fromFile = given['NODE_ENV'] === 'production' ? {} : readEnvFile(join(home, 'env'));
  return parseConfig(schema, { ...withoutOverruled(fromFile, given), ...withoutEmpty(given) });
}

/** {@link loadConfig} over variables at hand; `NAME_FILE` is resolved. */
export function parseConfig<T extends z.ZodType>(
  schema: T,
  variables: Record<string, string | undefined>,
): z.infer<T> {
  const result = schema.safeParse(withSecretFiles(variables));
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`Settings are missing or wrong:\n${lines.join('\n')}`);
}

/** Lines `NAME=value` of an env file; `#` starts a comment line. A missing file is an empty one. */
export function readEnvFile(path: string): Record<string, string> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new ConfigError(`Cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  const entries = text
    .split('\n')
    .filter((line) => /^[A-Z][A-Z0-9_]*=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
  return Object.fromEntries(entries);
}

function withoutEmpty(variables: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => !!entry[1]),
  );
}

/**
 * What the process says goes, however it says it: its `DATABASE_URL` over the file's `LOGIN_DATABASE_URL`, its `NAME` over
 * the file's `NAME_FILE` and the other way round.
 */
function withoutOverruled(
  file: Record<string, string>,
  given: NodeJS.ProcessEnv,
): Record<string, string> {
  const isOverruled = (name: string): boolean =>
    (name.endsWith('_DATABASE_URL') && !!given['DATABASE_URL']) ||
    !!given[`${name}_FILE`] ||
    (name.endsWith('_FILE') && !!given[name.slice(0, -'_FILE'.length)]);
  return Object.fromEntries(Object.entries(file).filter(([name]) => !isOverruled(name)));
}

function withSecretFiles(
  variables: Record<string, string | undefined>,
): Record<string, string | undefined> {
  const result = { ...variables };
  for (const [name, path] of Object.entries(variables)) {
    const target = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : undefined;
    if (target === undefined || path === undefined || result[target] !== undefined) continue;
    try {
      result[target] = readFileSync(path, 'utf8').trim();
    } catch {
      // Not every *_FILE variable is ours; one that is and cannot be read leaves its target missing, which is reported.
    }
  }
  return result;
}
