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
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { secretIn } from '../verify/presented-secret.js';
import { RecordStore } from '../verify/record-store.js';
import { unavailable } from '../verify/unavailable.js';
import { holderOf } from './holder.js';

/**
 * Lets in who presents a key in `x-api-key` that may be used at all, whatever it is granted for, from where the request
 * comes; the principal is the key. Its record is read from the store, never from the cache.
 */
@Injectable()
export class HolderGuard implements CanActivate {
  constructor(
    private readonly records: RecordStore,
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
    const keyId = await this.keyIdOf(text, request.ip);
    setPrincipal(request, holderOf(keyId, { requestId: request.id, ip: request.ip }));
    return true;
  }

  /** @throws HttpException where the key may not be used, or nobody can decide */
  private async keyIdOf(text: string, ip: string): Promise<string> {
    const key = parseKeyText(text);
    if (key === null) throw refusal('MALFORMED');
    const { record, secret } = await this.present(key).catch((error: unknown) => {
      throw unavailable(error);
    });
    if (record === null) throw refusal('NOT_FOUND');
    const code = decideForHolder(record, secret, ip, this.material.now());
    if (code !== 'VALID') throw refusal(code);
    return key.keyId;
  }

  private async present(key: KeyText) {
    const { record } = await this.records.read(key.keyId);
    return { record, secret: secretIn(record, key, this.material.peppers) };
  }
}

function refusal(code: Refusal): HttpException {
  const { code: errorCode, status, title } = problemOf(PROBLEM_OF_REFUSAL[code]);
  return new HttpException(title, status, { errorCode });
}
