import {
  HttpException,
  Inject,
  Injectable,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PROBLEM_OF_REFUSAL, problemOf, type Grant, type Refusal } from '#contracts';
import { decideForHolder, parseKeyText, type KeyRecord } from '#key-core';
import { ProblemException } from '#server';
import { setPrincipal } from '../access/by.js';
import { Attempts } from '../attempts.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import {
  FOREIGN_KEYS,
  UnknownImport,
  type ForeignKeys,
  type PresentedKey,
} from '../verify/foreign-keys.js';
import { Gate } from '../verify/gate.js';
import { secretIn } from '../verify/presented-secret.js';
import { RecordStore } from '../verify/record-store.js';
import { unavailable } from '../verify/unavailable.js';
import { holderOf } from './holder.js';

/** Injection token of the {@link Attempts} that addresses have with keys that may not be used. */
export const HOLDER_ATTEMPTS = Symbol('HOLDER_ATTEMPTS');

/** Reads at once: verifications wait in the same line, and must not wait for these. */
const MAX_READS = 16;

/**
 * Lets in who presents a key in `x-api-key` that may be used at all, whatever it is granted for, from where the request
 * comes; the principal is the key. Its record is read from the store, never from the cache.
 */
@Injectable()
export class HolderGuard implements CanActivate {
  private readonly gate = new Gate(MAX_READS);

  constructor(
    private readonly records: RecordStore,
    @Inject(HOLDER_ATTEMPTS) private readonly attempts: Attempts,
    @Inject(FOREIGN_KEYS) private readonly foreign: ForeignKeys,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const { 'x-api-key': text, authorization } = request.headers;
    if (typeof text !== 'string' || text.trim() === '') {
      void http.getResponse<FastifyReply>().header('www-authenticate', 'ApiKey');
      const detail = 'Send your key in the x-api-key header';
      throw new UnauthorizedException(detail, { errorCode: 'API_KEY_MISSING' });
    }
    if (authorization !== undefined)
      throw new ProblemException('INVALID_HEADER', 'Send x-api-key without Authorization');
    const keyId = await this.attempt(text, request.ip);
    setPrincipal(request, holderOf(keyId, { requestId: request.id, ip: request.ip }));
    return true;
  }

  /** Takes an attempt from the address, which a key that may be used gives back. */
  private async attempt(text: string, ip: string): Promise<string> {
    if (!this.attempts.take(ip, performance.now()))
      throw new ProblemException(
        'TOO_MANY_REQUESTS',
        'Too many keys from this address may not be used; try again shortly',
        { headers: { 'retry-after': '1' } },
      );
    const keyId = await this.keyIdOf(text, ip);
    this.attempts.giveBack(ip);
    return keyId;
  }

  /** @throws HttpException where the key may not be used, or nobody can decide */
  private async keyIdOf(text: string, ip: string): Promise<string> {
    const { keyId, record, secret } = await this.present(text, ip).catch((error: unknown) => {
      if (error instanceof HttpException) throw error;
      this.attempts.giveBack(ip);
      throw unavailable(error);
    });
    const code = decideForHolder(record, secret, ip, this.material.now());
    if (code !== 'VALID') throw refusal(code);
    return keyId;
  }

  /** A key of ours, else one that came with an import, of whatever service. */
  private async present(text: string, ip: string) {
    const key = parseKeyText(text);
    const own = key && (await this.readOwn(key));
    if (own?.secret) return own;
    const foreign = await this.findForeign(text, ip);
    const found = foreign && (await this.read(foreign));
    if (found?.record) return { ...found, record: found.record };
    if (own) return own;
    throw refusal(key === null ? 'MALFORMED' : 'NOT_FOUND');
  }

  /** Null where there is none, or it is held back. */
  private async readOwn(key: PresentedKey) {
    const own = await this.read(key);
    if (own.record === null) return null;
    const isHeld = own.secret !== null && this.isHeld(key.text, own.record);
    return isHeld ? null : { ...own, record: own.record };
  }

  /** Whether all services that a key is for go by their old side. */
  private isHeld(text: string, record: KeyRecord): boolean {
    const { grants } = record;
    const isHeldBy = ({ service }: Grant) =>
      this.foreign.mayBeHeld({ text, service }) && this.foreign.isHeld(record, service);
    const isHeld = grants.length > 0 && grants.every(isHeldBy);
    if (isHeld) for (const { service } of grants) this.foreign.requireKnown(record, service);
    return isHeld;
  }

  private async read(key: PresentedKey) {
    const { record } = await this.gate.pass(() => this.records.read(key.keyId));
    return { keyId: key.keyId, record, secret: secretIn(record, key, this.material.peppers) };
  }

  /** @throws UnknownImport where none is found that is known here */
  private async findForeign(text: string, clientIp: string): Promise<PresentedKey | null> {
    let isUnknown = false;
    for (const service of this.foreign.services()) {
      const given = { text, service, clientIp, isDry: false };
      const found = this.foreign.mayBe(given) ? await this.foreign.find(given) : null;
      if (found === 'busy') throw refusal('RATE_LIMITED');
      if (found === 'unknown') isUnknown = true;
      else if (found !== null) return found;
    }
    if (isUnknown) throw new UnknownImport();
    return null;
  }
}

function refusal(code: Refusal): HttpException {
  const { code: errorCode, status, title } = problemOf(PROBLEM_OF_REFUSAL[code]);
  return new HttpException(title, status, { errorCode });
}
