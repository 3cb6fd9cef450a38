import { ConflictException } from '@nestjs/common';
import { TokenKeys, type Signer } from './token-keys.js';

/** Signing with a secret that every app of the platform has. It is never published, and replaced by the operator only. */
export class SharedSecret extends TokenKeys {
  constructor(private readonly secret: Uint8Array) {
    super();
  }

  override start(): Promise<void> {
    return Promise.resolve();
  }

  override current(): Promise<Signer> {
    return Promise.resolve({ algorithm: 'HS256', key: this.secret });
  }

  override jwks(): Promise<{ keys: [] }> {
    return Promise.resolve({ keys: [] });
  }

  override rotate(): Promise<string> {
    const detail = 'Tokens are signed with JWT_SECRET: replace it at every app and restart them';
    return Promise.reject(new ConflictException(detail, { errorCode: 'CONFLICT' }));
  }
}
