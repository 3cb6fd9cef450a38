import type { FastifyRequest } from 'fastify';
import type { ListKeysQuery, ProvisionKeyBody, RevokeKeyBody, RotateKeyBody } from '#contracts';
import { ProblemException } from '#server';
import type { CentralSide } from './central-side.js';
import type { Provisioner } from './local-provisioner.js';

/** Keys are managed on the side that counts; a revocation is made on both. */
export class DualProvisioner implements Provisioner {
  constructor(
    private readonly sides: { local: Provisioner; central: Provisioner },
    private readonly centralSide: CentralSide,
  ) {}

  create(body: ProvisionKeyBody, from: FastifyRequest) {
    return this.side.create(body, from);
  }

  list(query: Omit<ListKeysQuery, 'service'>, from: FastifyRequest) {
    return this.side.list(query, from);
  }

  rotate(id: string, body: RotateKeyBody, from: FastifyRequest) {
    return this.side.rotate(id, body, from);
  }

  /** The side that counts answers; that the other does not know the key is no fault. */
  async revoke(id: string, body: RevokeKeyBody, from: FastifyRequest) {
    const { local, central } = this.sides;
    const isLocal = this.side === local;
    const other = isLocal ? central : local;
    const [done, also] = await Promise.allSettled([
      this.side.revoke(id, body, from),
      other.revoke(id, body, from),
    ]);
    if (also.status === 'rejected' && !isUnknown(also.reason)) throw also.reason;
    if (done.status === 'fulfilled') return done.value;
    if (also.status === 'fulfilled' && isUnknown(done.reason)) return also.value;
    throw done.reason;
  }

  private get side(): Provisioner {
    const { mode } = this.centralSide;
    if (mode === 'unknown')
      throw new ProblemException('SERVICE_UNAVAILABLE', 'Which side counts is not known yet');
    return mode === 'dual' || mode === 'cutover' ? this.sides.central : this.sides.local;
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof ProblemException && error.getStatus() === 404;
}
