import { Global, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { AccessModule } from '../access/access.module.js';
import { Mutations } from '../changes/mutations.js';
import { KEY_MATERIAL, type KeyMaterial } from '../key-material.js';
import { upgradeSecret } from '../keys/upgrade-secret.js';
import { LOG } from '../tokens.js';
import { SECRET_UPGRADES } from '../verify/secret-upgrades.js';
import { PepperUpgrades } from './pepper-upgrades.js';
import { PeppersController } from './peppers.controller.js';

const upgrades = {
  provide: SECRET_UPGRADES,
  inject: [Mutations, KEY_MATERIAL, LOG],
  useFactory: (mutations: Mutations, material: KeyMaterial, log: Logger) =>
    new PepperUpgrades({
      peppers: material.peppers,
      upgrade: (seen) => upgradeSecret({ mutations, material }, seen),
      log,
    }),
};

/** Secrets come to the newest pepper as their keys are used; how far that is. */
@Global()
@Module({
  imports: [AccessModule],
  controllers: [PeppersController],
  providers: [upgrades],
  exports: [upgrades],
})
export class PeppersModule implements OnApplicationShutdown {
  constructor(@Inject(SECRET_UPGRADES) private readonly pepperUpgrades: PepperUpgrades) {}

  async onApplicationShutdown(): Promise<void> {
    await this.pepperUpgrades.stop();
  }
}
