import {
  Inject,
  Logger,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { ServiceAConfig } from '../config.js';
import { againAndAgain, type Repetition } from './again-and-again.js';
import { createLocalPool } from './local-database.js';
import { countUntold, untoldText } from './untold-changes.js';

const AGAIN_MS = 30_000;
const SETTINGS = Symbol('UNTOLD_SETTINGS');

type Keys = ServiceAConfig['SERVICE_A_KEYS'];

/**
 * Warns operators where the key service counts, or soon does, and does not have this service's own keys as they are: a key that was
 * revoked here opens there. Looked for at the start, which does not wait for it, and again while there is something to tell; in mode
 * `dual` always. Its connection is closed in between.
 */
@Module({})
export class UntoldModule implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly log = new Logger('LocalKeys');
  private looking: Promise<void> | undefined;
  private repeated: Repetition | undefined;
  /** What was warned of last; null where there is nothing. */
  private text: string | null = null;

  constructor(
    @Inject(SETTINGS) private readonly settings: { databaseUrl: string | undefined; keys: Keys },
  ) {}

  /** Does nothing where there is no own store, or only that counts. */
  static forRoot(config: ServiceAConfig): DynamicModule {
    const { SERVICE_A_DATABASE_URL: databaseUrl, SERVICE_A_KEYS: keys } = config;
    const providers = [{ provide: SETTINGS, useValue: { databaseUrl, keys } }];
    return { module: UntoldModule, providers };
  }

  onApplicationBootstrap(): void {
    const { databaseUrl, keys } = this.settings;
    if (databaseUrl === undefined || keys === 'local') return;
    this.looking = this.look(databaseUrl);
    this.repeated = againAndAgain(async () => {
      await this.looking;
      if (keys === 'dual' || this.text !== null) await this.look(databaseUrl);
    }, AGAIN_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all([this.looking, this.repeated?.stop()]);
  }

  /** Where the store does not answer, or is gone, nothing is known that could be told. */
  private async look(databaseUrl: string): Promise<void> {
    const pool = createLocalPool(databaseUrl, 1);
    try {
      const text = untoldText(await countUntold(pool));
      if (text !== null && text !== this.text) this.log.warn(text);
      this.text = text;
    } catch (error) {
      this.log.debug(
        `Changes that were not told could not be counted: ${(error as Error).message}`,
      );
    } finally {
      await pool.end();
    }
  }
}
