import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { principalIn } from '../access/by.js';
import { CreationRate } from './creation-rate.js';

/** Lets a person make so many keys in a minute, see {@link CreationRate}; for a route that knows its principal. */
@Injectable()
export class CreationRateGuard implements CanActivate {
  constructor(private readonly rate: CreationRate) {}

  canActivate(context: ExecutionContext): boolean {
    this.rate.take(principalIn(context.switchToHttp().getRequest<FastifyRequest>()));
    return true;
  }
}
