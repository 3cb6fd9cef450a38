import { createHash } from 'node:crypto';
import { ForbiddenException, Inject, Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import type { CreateExportBody, ExportHeader, ExportKeys, ExportTrailer } from '#contracts';
import { EXPORT_PEPPER, exportSignerOf, sealTo, type ExportSigner } from '#key-core';
import { invalidField } from '#server';
import { changeBy } from '../access/change-by.js';
import { maySee, type Principal } from '../access/principal.js';
import { ServiceEntity } from '../catalog/service.entity.js';
import { Mutations } from '../changes/mutations.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { Stores } from '../stores.js';
import { exportedKeys } from './export-lines.js';
import { LOOKUP_POOL } from './lookup-pool.js';

const PEPPER_BYTES = 32;

/** The keys of a service, for one that takes them over. */
@Injectable()
export class Exports {
  private readonly signer: ExportSigner;

  constructor(
    private readonly mutations: Mutations,
    private readonly stores: Stores,
    @Inject(LOOKUP_POOL) private readonly pool: Pool,
    @Inject(KEY_MATERIAL) private readonly material: KeyMaterial,
  ) {
    this.signer = exportSignerOf(material.exportSeed);
  }

  /** Keys that exports are signed with. */
  keys(): ExportKeys {
    return this.signer.publicKeys;
  }

  /**
   * An export, line by line: header, keys, signature. One that ends without its signature has failed. That it was asked for is
   * in the change log before the first line.
   *
   * @throws ProblemException INVALID_REQUEST where there is no such service, or it is not the principal's
   * @throws ForbiddenException where some of its keys are for services that are not the principal's: none of them may be missing
   */
  async create(
    { service: slug, recipientKey }: CreateExportBody,
    by: Principal,
  ): Promise<AsyncGenerator<string>> {
    const { manager } = this.stores.db;
    const service = maySee(by, [slug]) ? await manager.findOneBy(ServiceEntity, { slug }) : null;
    if (service === null) throw invalidField('/service', `There is no service ${slug}`);
    await this.refuseKeysOfOthers(slug, by);
    await this.note(slug, recipientKey, by);
    const pepper = this.material.random(PEPPER_BYTES);
    const header: ExportHeader = {
      type: 'header',
      format: 'keyward-export/1',
      service: slug,
      scopes: service.scopes,
      policy: service.policy,
      pepper: sealTo(recipientKey, pepper, EXPORT_PEPPER),
      createdAt: new Date(this.material.now()).toISOString(),
    };
    return this.lines(header, pepper);
  }

  private async *lines(header: ExportHeader, pepper: Buffer): AsyncGenerator<string> {
    const sha256 = createHash('sha256');
    const line = (value: object): string => {
      const text = `${JSON.stringify(value)}\n`;
      sha256.update(text);
      return text;
    };
    yield line(header);
    let [keys, unportable] = [0, 0];
    const { peppers } = this.material;
    for await (const key of exportedKeys({
      ...{ pool: this.pool, peppers, pepper },
      service: header.service,
    })) {
      keys += 1;
      if (key.secrets.every((one) => one.digest === null)) unportable += 1;
      yield line(key);
    }
    const { kid, sign } = this.signer;
    const value = sign(sha256.digest());
    const trailer: ExportTrailer = { type: 'signature', keys, unportable, kid, value };
    yield `${JSON.stringify(trailer)}\n`;
  }

  private async refuseKeysOfOthers(slug: string, { services }: Principal): Promise<void> {
    if (services === null) return;
    const { rows } = await this.pool.query(OF_OTHERS, [slug, services]);
    if (rows.length === 0) return;
    const detail = `Keys of ${slug} are for services that are not yours, too; ask an admin of all services`;
    throw new ForbiddenException(detail, { errorCode: 'FORBIDDEN' });
  }

  private async note(service: string, recipientKey: string, by: Principal): Promise<void> {
    const change = changeBy(by, {
      action: 'service.exported',
      ...{ targetType: 'service', targetId: service, keyVersion: null, services: [service] },
      before: null,
      after: { recipientKey },
    });
    await this.mutations.run(async () => ({ result: null, changes: [change], touched: [] }));
  }
}

const OF_OTHERS = `
  SELECT FROM keys.key_grant o JOIN keys.key_grant g ON g.key_id = o.key_id JOIN keys.key k ON k.id = o.key_id
  WHERE o.service <> ALL ($2) AND g.service = $1 AND k.state <> 'revoked' AND (k.expires_at IS NULL OR k.expires_at > now()) LIMIT 1`;
