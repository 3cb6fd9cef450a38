import { ConsumerEntity } from './catalog/consumer.entity.js';
import { ServiceEntity } from './catalog/service.entity.js';
import { KeyEntity } from './keys/key.entity.js';
import { KeyGrantEntity } from './keys/key-grant.entity.js';
import { KeyTagEntity } from './keys/key-tag.entity.js';
import { SecretEntity } from './keys/secret.entity.js';

/** Every table of the schema `keys` that is reached through TypeORM. */
export const ENTITIES = [
  ServiceEntity,
  ConsumerEntity,
  KeyEntity,
  KeyGrantEntity,
  KeyTagEntity,
  SecretEntity,
];
