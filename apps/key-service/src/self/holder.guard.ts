import {
  HttpException,
  Inject,
  Injectable,
  UnauthorizedException,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PROBLEM_OF_REFUSAL, problemOf, type Refusal } from '#contracts';
import { decideForHolder, parseKeyText, type KeyText } from '#key-core';
import { ProblemException } from '#server';
import { setPrincipal } from '../access/by.js';
import { Attempts } from '../attempts.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
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
    const key = parseKeyText(text);
    if (key === null) throw refusal('MALFORMED');
    const { record, secret } = await this.present(key).catch((error: unknown) => {
      this.attempts.giveBack(ip);
      throw unavailable(error);
    });
    if (record === null) throw refusal('NOT_FOUND');
    const code = decideForHolder(record, secret, ip, this.material.now());
    if (code !== 'VALID') throw refusal(code);
    return key.keyId;
  }

  private async present(key: KeyText) {
    const { record } = await this.gate.pass(() => this.records.read(key.keyId));
    return { record, secret: secretIn(record, key, this.material.peppers) };
  }
}

function refusal(code: Refusal): HttpException {
  const { code: errorCode, status, title } = problemOf(PROBLEM_OF_REFUSAL[code]);
  return new HttpException(title, status, { errorCode });
}
