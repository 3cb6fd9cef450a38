import type { Consumer, Service } from '#contracts';
import type { ConsumerEntity } from './consumer.entity.js';
import type { ServiceEntity } from './service.entity.js';

/** A service as it is answered. */
export function showService(row: ServiceEntity): Service {
  const { slug, name, scopes, policy, version } = row;
  return { slug, name, scopes, policy, ...timesOf(row), version };
}

/** A consumer as it is answered. */
export function showConsumer(row: ConsumerEntity): Consumer {
  const { slug, name, contact, enabled, version } = row;
  const metadata = row.metadata as Consumer['metadata'];
  return { slug, name, contact, metadata, enabled, ...timesOf(row), version };
}

function timesOf({ createdAt, updatedAt }: { createdAt: Date; updatedAt: Date }) {
  return { createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
