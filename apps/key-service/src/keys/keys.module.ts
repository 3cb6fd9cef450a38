import { Module } from '@nestjs/common';
import { AccessModule } from '../access/access.module.js';
import { Keys } from './keys.js';
import { KeysController } from './keys.controller.js';

/** The life of keys. */
@Module({ imports: [AccessModule], controllers: [KeysController], providers: [Keys] })
export class KeysModule {}
