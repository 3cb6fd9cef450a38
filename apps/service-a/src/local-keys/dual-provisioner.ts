import type { FastifyRequest } from 'fastify';
import type { ListKeysQuery, ProvisionKeyBody, RevokeKeyBody, RotateKeyBody } from '#contracts';
import { ProblemException } from '#server';
import type { CentralSide } from './central-side.js';
import type { Provisioner } from './local-provisioner.js';

/** Keys of the own store that the key service has. */
export interface SharedKeys {
  /** Whether a key was changed here and the key service was not told. */
  isAhead(id: string): Promise<boolean>;
  /** Tells the key service what has changed of a key, for the person who changed it; whether or not it hears. */
  tell(id: string, from: FastifyRequest): Promise<void>;
}

/** Keys are managed on the side that counts; the key service is told at once, and a revocation is made on both. */
export class DualProvisioner implements Provisioner {
  constructor(
    private readonly sides: { local: Provisioner; central: Provisioner },
    private readonly shared: SharedKeys,
    private readonly centralSide: CentralSide,
  ) {}

  create(body: ProvisionKeyBody, from: FastifyRequest) {
    return this.side.create(body, from);
  }

  list(query: Omit<ListKeysQuery, 'service'>, from: FastifyRequest) {
    return this.side.list(query, from);
  }

  /** Where the key service cannot be told the own store is ahead, which its next hand-over ends. */
  async rotate(id: string, body: RotateKeyBody, from: FastifyRequest) {
    const { side, shared } = this;
    if (side === this.sides.local) {
      const done = await side.rotate(id, body, from);
      await shared.tell(id, from);
      return done;
    }
    if (await shared.isAhead(id)) throw new ProblemException('CONFLICT', AHEAD);
    return side.rotate(id, body, from);
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
    // so that it is noted what the key service has now
    await this.shared.tell(id, from);
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

const AHEAD =
  'The key was changed at this service and the key service has not been told: hand over again first';

function isUnknown(error: unknown): boolean {
  return error instanceof ProblemException && error.getStatus() === 404;
}
