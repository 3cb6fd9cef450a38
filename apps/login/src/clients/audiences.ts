import type { DataSource, EntityManager } from 'typeorm';
import type { FieldError } from '#contracts';
import { ProblemException } from '#server';

/** People's tokens name every audience, and verifiers take tokens of 8 KiB at most. */
const MAX_CHARACTERS = 2_500;

/** Client ids of the enabled service accounts: each is an audience, that of its service. */
export async function enabledAccounts(db: DataSource | EntityManager): Promise<string[]> {
  const rows = await db.query<{ clientId: string }[]>(
    'SELECT client_id AS "clientId" FROM login.client WHERE enabled ORDER BY seq',
  );
  return rows.map((one) => one.clientId);
}

/**
 * Refuses audiences that are not there, and more service accounts than people's tokens can name. Call it after the change, in
 * its transaction.
 *
 * @param by.always audiences that there are without an account
 * @throws ProblemException INVALID_REQUEST naming each place, or CONFLICT
 */
export async function checkAudiences(
  manager: EntityManager,
  by: { always: readonly string[]; wanted: readonly string[] | undefined },
): Promise<void> {
  const accounts = await enabledAccounts(manager);
  const known = new Set([...by.always, ...accounts]);
  const errors = (by.wanted ?? []).flatMap((name, i): FieldError[] => {
    const detail = 'Name an app or the client id of an enabled service account';
    return known.has(name) ? [] : [{ pointer: `/audiences/${i}`, code: 'INVALID_VALUE', detail }];
  });
  if (errors.length > 0) {
    const detail = errors.map((one) => `${one.pointer}: ${one.detail}`).join('; ');
    throw new ProblemException('INVALID_REQUEST', detail, { errors });
  }
  if (accounts.join().length <= MAX_CHARACTERS) return;
  const detail = `Names of enabled service accounts may have ${MAX_CHARACTERS} characters in all; disable one first`;
  throw new ProblemException('CONFLICT', detail);
}
