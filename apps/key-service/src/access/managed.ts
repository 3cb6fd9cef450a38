import { applyDecorators, UseGuards } from '@nestjs/common';
import { Roles, TokenScopes } from '#jwt-guard';
import { ApiHeader } from '#server';
import { ForAuditors, PrincipalGuard } from './principal.guard.js';

const actorHeader = ApiHeader({
  name: 'X-Actor-Token',
  required: false,
  description: 'Sent by services only: the access token of the person for whom they act',
});

/** A route that changes something: for admins, and for services that act for one. */
export const Managed = (): MethodDecorator =>
  applyDecorators(
    Roles('admin'),
    TokenScopes('keys:provision'),
    UseGuards(PrincipalGuard),
    actorHeader,
  );

/** A route that reads, whatever its method: for admins and auditors, and for services that act for one. */
export const Audited = (): MethodDecorator =>
  applyDecorators(
    Roles('admin', 'auditor'),
    TokenScopes('keys:provision'),
    ForAuditors,
    UseGuards(PrincipalGuard),
    actorHeader,
  );
