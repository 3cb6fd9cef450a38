import { ForbiddenException } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type {
  Key,
  ListKeysQuery,
  ProvisionKeyBody,
  RevokeKeyBody,
  RotateKeyBody,
} from '#contracts';
import { callerOf } from '#jwt-guard';
import { invalidField, ProblemException, tagOf } from '#server';
import { SERVICE, type KeyProvisioner } from '../provisioning/key-provisioner.js';
import type { SignedCursors } from '../signed-cursors.js';
import type { UpstreamAnswer } from '../upstream.js';
import type { LocalKeys } from './local-keys.js';
import { listRows } from './local-list.js';
import { keyOf } from './local-rows.js';
import { onceOf, type Done } from './repeated-changes.js';

/** What the routes for keys need of whoever manages them. */
export type Provisioner = Pick<KeyProvisioner, 'create' | 'list' | 'rotate' | 'revoke'>;

/** Makes, lists and ends keys in this service's own store. */
export class LocalProvisioner implements Provisioner {
  constructor(
    private readonly keys: LocalKeys,
    private readonly cursors: SignedCursors,
  ) {}

  async create(body: ProvisionKeyBody, from: FastifyRequest) {
    const admin = adminIn(from);
    return aboutDone(await this.keys.issue(body, admin, onceOf(from, admin)));
  }

  /** @throws ProblemException INVALID_CURSOR, or that a filter asks for what is not known here */
  async list(query: Omit<ListKeysQuery, 'service'>, from: FastifyRequest) {
    adminIn(from);
    const { pool, now } = this.keys.parts;
    const { limit, cursor, unusedSince, ...filters } = query;
    if (unusedSince !== undefined) throw invalidField('/unusedSince', USE_UNKNOWN);
    const asked = JSON.stringify(Object.entries(filters).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const after = cursor === undefined ? null : this.placeOf(cursor, asked);
    const nowMs = now();
    const rows = await listRows(pool, filters, { after, limit: limit + 1, nowMs });
    const shown = rows.slice(0, limit);
    const data = shown.map((row) => keyOf(row, nowMs));
    const last = Number(shown.at(-1)?.seq);
    const nextCursor = rows.length > limit ? this.cursors.of(last, asked) : null;
    return answer({ data, nextCursor });
  }

  async rotate(id: string, body: RotateKeyBody, from: FastifyRequest) {
    const admin = adminIn(from);
    const ifMatch = from.headers['if-match'];
    const once = onceOf(from, admin);
    return aboutDone(await this.keys.rotate(id, { ...body, ifMatch }, admin, once));
  }

  async revoke(id: string, body: RevokeKeyBody, from: FastifyRequest) {
    const key: Key = await this.keys.revoke(id, body, adminIn(from));
    // every verification reads this store: there is nowhere else to be told
    return aboutKey({ key, propagation: { confirmed: true, boundSeconds: 0, ms: 0 } });
  }

  private placeOf(cursor: string, asked: string): number {
    const place = this.cursors.numberIn(cursor, asked);
    if (place !== null) return place;
    throw new ProblemException('INVALID_CURSOR', 'Use nextCursor as the page before gave it');
  }
}

const USE_UNKNOWN = 'When keys were used is not kept here; leave it out';

/** The person who asks. @throws ForbiddenException for an admin of other services */
function adminIn(from: FastifyRequest): string {
  const caller = callerOf(from);
  if (caller === undefined) throw new Error('Keys are managed on guarded routes only');
  if (caller.services === undefined || caller.services.includes(SERVICE)) return caller.sub;
  const detail = 'This person may not administer keys of this service';
  throw new ForbiddenException(detail, { errorCode: 'FORBIDDEN' });
}

/** With the key's version as its entity tag. */
function aboutKey<T extends { key: Key }>(data: T): UpstreamAnswer<T> {
  return { data, headers: new Headers({ etag: tagOf(data.key.version) }) };
}

/** The same of what may have been done before. */
function aboutDone<T extends { key: Key }>({ answer, isReplay }: Done<T>): UpstreamAnswer<T> {
  const about = aboutKey(answer);
  if (isReplay) about.headers.set('idempotency-replayed', 'true');
  return about;
}

function answer<T>(data: T): UpstreamAnswer<T> {
  return { data, headers: new Headers() };
}
