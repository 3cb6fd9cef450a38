import { ForbiddenException, UnauthorizedException } from '@nestjs/common';
import { scopesOf, type Claims } from '#contracts';
import type { Principal } from './principal.js';

/** Where a request comes from, for the change log. */
export type Origin = Pick<Principal, 'requestId' | 'ip'>;

/**
 * The principal of a person's token, or of a service's token together with that of the person for whom it acts: then the
 * rights are the person's, cut to that service.
 *
 * @param actor claims of the verified `X-Actor-Token`; null where none was sent
 * @throws ForbiddenException where the person is neither admin nor auditor, or a service names nobody to act for
 */
export function principalOf(caller: Claims, actor: Claims | null, origin: Origin): Principal {
  if (caller.client_id === undefined) return { ...rightsOf(caller), via: null, ...origin };
  if (!scopesOf(caller).includes('keys:provision')) throw forbidden('Ask for keys:provision');
  if (actor === null)
    throw forbidden('Send the token of the person you act for in X-Actor-Token as well');
  if (actor.client_id !== undefined) {
    const detail = 'X-Actor-Token takes the token of a person';
    throw new UnauthorizedException(detail, { errorCode: 'INVALID_TOKEN' });
  }
  const rights = rightsOf(actor);
  const via = caller.client_id;
  if (rights.services !== null && !rights.services.includes(via))
    throw forbidden('This person may not administer keys of the calling service');
  return { ...rights, services: [via], via, ...origin };
}

function rightsOf(person: Claims): Pick<Principal, 'actor' | 'mayChange' | 'services'> {
  const isAdmin = person.roles.includes('admin');
  if (!isAdmin && !person.roles.includes('auditor'))
    throw forbidden('Only an admin may do this; an auditor may read');
  return { actor: person.sub, mayChange: isAdmin, services: person.services ?? null };
}

function forbidden(detail: string): ForbiddenException {
  return new ForbiddenException(detail, { errorCode: 'FORBIDDEN' });
}
