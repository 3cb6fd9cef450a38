const MIN_BYTES = 32;
const MIN_DISTINCT_BYTES = 8;
const PEPPER = /^([1-9][0-9]{0,8}):([A-Za-z0-9+/_-]+={0,2})$/;

/** Stands for the version to write with, where no record says which one it was made with. */
export const CURRENT_PEPPER = 0;

/** Secrets that digests of keys are made with, by version. */
export interface Peppers {
  /** The one to write with. */
  current: { version: number; bytes: Buffer };
  /** The pepper of a version, undefined where it is not at hand; {@link CURRENT_PEPPER} gives the current one. */
  get(version: number): Buffer | undefined;
}

/** A digest was made with a pepper that this replica was not given, so that nothing can be said of the key. */
export class UnknownPepper extends Error {
  override name = 'UnknownPepper';
  constructor(readonly version: number) {
    super(`The pepper of version ${version} is not at hand: add it to KEY_PEPPERS`);
  }
}

/**
 * Reads peppers such as `1:<base64>,2:<base64>`, each of at least 32 bytes.
 *
 * @param current version to write with, by default the highest
 * @throws Error saying which entry or version is wrong and how; never a value
 */
export function parsePeppers(text: string, current?: number): Peppers {
  const byVersion = new Map<number, Buffer>();
  text.split(',').forEach((entry, index) => {
    const [version, bytes] = readPepper(entry.trim(), index + 1);
    if (byVersion.has(version)) throw new Error(`Pepper version ${version} is given twice`);
    for (const [other, known] of byVersion) {
      if (known.equals(bytes)) throw new Error(`Peppers ${other} and ${version} are the same`);
    }
    byVersion.set(version, bytes);
  });
  const version = current ?? Math.max(...byVersion.keys());
  const bytes = byVersion.get(version);
  if (bytes === undefined) throw new Error(`There is no pepper of the current version ${version}`);
  return {
    current: { version, bytes },
    get: (wanted) => (wanted === CURRENT_PEPPER ? bytes : byVersion.get(wanted)),
  };
}

function readPepper(entry: string, place: number): [number, Buffer] {
  const parts = PEPPER.exec(entry);
  if (parts === null) {
    throw new Error(`Pepper ${place} of the list must be <version>:<base64>, version 1 or more`);
  }
  const bytes = Buffer.from(parts[2]!, 'base64');
  if (bytes.length < MIN_BYTES) {
    throw new Error(`Pepper version ${parts[1]} is shorter than ${MIN_BYTES} bytes`);
  }
  if (new Set(bytes).size < MIN_DISTINCT_BYTES) {
    throw new Error(`Pepper version ${parts[1]} is not random (openssl rand -base64 32)`);
  }
  return [Number(parts[1]), bytes];
}
