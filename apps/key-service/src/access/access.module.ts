import { Module } from '@nestjs/common';
import { PrincipalGuard } from './principal.guard.js';

/** Who may do what. */
@Module({ providers: [PrincipalGuard], exports: [PrincipalGuard] })
export class AccessModule {}
