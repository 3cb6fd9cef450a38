import {
  Injectable,
  type INestApplicationContext,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { accessOf } from './access.js';

/** Stops the start where a route names nobody who may call it. */
@Injectable()
export class RouteCheck implements OnApplicationBootstrap {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  onApplicationBootstrap(): void {
    const unguarded = this.unguarded();
    if (unguarded.length > 0) {
      throw new Error(
        `Say who may call ${unguarded.join(', ')}: @Public, @Authenticated, @Roles or @TokenScopes`,
      );
    }
  }

  /** `Controller.method` of every route that names nothing. */
  unguarded(): string[] {
    return this.discovery.getControllers().flatMap(({ metatype }) => {
      if (typeof metatype !== 'function') return [];
      const prototype = metatype.prototype as Record<string, (...args: never[]) => unknown>;
      return this.scanner
        .getAllMethodNames(prototype)
        .filter((name) => Reflect.hasMetadata(PATH_METADATA, prototype[name]!))
        .filter((name) => accessOf(prototype[name]!, metatype) === undefined)
        .map((name) => `${metatype.name}.${name}`);
    });
  }
}

/** `Controller.method` of every route of an app that names nobody who may call it; empty in an app that starts. */
export function unguardedRoutes(app: INestApplicationContext): string[] {
  return app.get(RouteCheck, { strict: false }).unguarded();
}
