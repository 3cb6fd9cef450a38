import { hash } from 'node:crypto';
import {
  exportedKey,
  exportHeader,
  exportTrailer,
  type ExportedKey,
  type ExportHeader,
  type ExportKeys,
  type ExportTrailer,
} from '#contracts';
import { isSignedBy } from './export-signature.js';
import { openSealed } from './seal-to.js';

/** An export that was found whole and signed. */
export interface ReadExport {
  header: ExportHeader;
  keys: ExportedKey[];
  pepper: Buffer;
}

/** What the pepper of an export is sealed for. */
export const EXPORT_PEPPER = 'export/pepper/v1';

/**
 * Reads an export.
 *
 * @param text as it came, byte for byte
 * @throws Error where it is cut, altered, signed by nobody of `signers`, for another recipient or of another format
 */
export function readExport(
  text: string,
  { signers, privateKey }: { signers: ExportKeys; privateKey: string },
): ReadExport {
  const end = text.trimEnd().lastIndexOf('\n') + 1;
  const trailer = readTrailer(text.slice(end));
  const lines = text.slice(0, end);
  if (!isSignedBy(signers, trailer, hash('sha256', lines, 'buffer')))
    throw new Error('The export is not signed by the key service, or was altered');
  const [first, ...rest] = lines.trimEnd().split('\n');
  const header = exportHeader.parse(JSON.parse(first ?? ''));
  const keys = rest.map((line) => exportedKey.parse(JSON.parse(line)));
  if (keys.length !== trailer.keys) throw new Error('The export does not have all its keys');
  return { header, keys, pepper: openPepper(header, privateKey) };
}

function readTrailer(line: string): ExportTrailer {
  try {
    return exportTrailer.parse(JSON.parse(line));
  } catch (cause) {
    throw new Error('The export is cut: its signature is missing', { cause });
  }
}

function openPepper({ pepper }: ExportHeader, privateKey: string): Buffer {
  try {
    return openSealed(privateKey, pepper, EXPORT_PEPPER);
  } catch (cause) {
    throw new Error('The export is for another recipient', { cause });
  }
}
