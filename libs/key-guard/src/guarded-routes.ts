import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core';
import { KeyGuard } from './key.guard.js';
import { ruleOf } from './route-rule.js';

/** Injection token of whether the guard is put before every route. */
export const GUARDS_EVERY_ROUTE = Symbol('GuardsEveryRoute');

type Handler = (...args: unknown[]) => unknown;

/** Stops the start where a route is guarded by key but names no scope, or names one and is not guarded. */
@Injectable()
export class GuardedRoutes implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly reflector: Reflector,
    @Inject(GUARDS_EVERY_ROUTE) private readonly everyRoute: boolean,
  ) {}

  /** @throws Error naming every such route */
  onModuleInit(): void {
    const faults = this.discovery.getControllers().flatMap(({ metatype }) => {
      if (typeof metatype !== 'function') return [];
      const prototype = metatype.prototype as Record<string, Handler>;
      return this.scanner
        .getAllMethodNames(prototype)
        .filter((name) => Reflect.hasMetadata(PATH_METADATA, prototype[name]!))
        .flatMap((name) => this.faultOf(metatype as Handler, prototype[name]!) ?? []);
    });
    if (faults.length > 0) throw new Error(faults.join('; '));
  }

  private faultOf(controller: Handler, handler: Handler): string | null {
    const places = [handler, controller];
    const guards = this.reflector.getAllAndMerge<unknown[]>(GUARDS_METADATA, places);
    const isGuarded = this.everyRoute || [guards].flat().includes(KeyGuard);
    const rule = ruleOf(handler, controller);
    const route = `${controller.name}.${handler.name}`;
    if (rule === 'both') return `${route} names @RequireScope and @Public; leave one out`;
    if (isGuarded && rule === null)
      return `${route} is under KeyGuard and must name @RequireScope or @Public`;
    return !isGuarded && Array.isArray(rule)
      ? `${route} names @RequireScope and must be under @UseGuards(KeyGuard)`
      : null;
  }
}
