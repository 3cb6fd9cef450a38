import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { DataSource } from 'typeorm';
import type { ListViolationsQuery, PatchedService, Service } from '#contracts';
import { pageOf, placeOf } from '../access/cursor.js';
import type { Principal } from '../access/principal.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { LOG } from '../tokens.js';
import { Services } from './services.js';
import { countViolations, findViolations } from './violations.js';

/** Which keys break the policy of their service. */
@Injectable()
export class ServiceViolations {
  constructor(
    private readonly db: DataSource,
    private readonly services: Services,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /**
   * A service that was just changed, with how many keys break it. Looked for after the commit: among a million keys it takes
   * seconds, for which none of the service's could be issued. As the change stands, it is told also where they cannot be
   * looked for.
   */
  async countedIn(service: Service, by: Principal): Promise<PatchedService> {
    const search = { service, by, nowMs: this.material.now() };
    const violations = await countViolations(this.db.manager, search).catch((error: unknown) => {
      this.log.warn({ err: error, service: service.slug }, 'keys that break a policy: not counted');
      return null;
    });
    return { ...service, violations };
  }

  /** Keys that live and break the service's policy as it is now, the newest first. @throws NotFoundException as {@link Services.read} */
  async list(slug: string, { limit, cursor }: ListViolationsQuery, by: Principal) {
    const service = await this.services.read(slug, by);
    const scope = { key: this.material.cursorKey, list: 'violations', filters: { slug }, by };
    const search = { service, by, nowMs: this.material.now() };
    const page = { place: placeOf(scope, cursor), limit: limit + 1 };
    const rows = await findViolations(this.db.manager, search, page);
    return pageOf(scope, rows, {
      limit,
      placeOfRow: (row) => row.seq,
      show: (shown) => shown.map((one) => one.violation),
    });
  }
}
