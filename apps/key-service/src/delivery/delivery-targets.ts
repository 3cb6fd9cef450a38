import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DeliverTo, Key } from '#contracts';
import {
  connectVault,
  fromAws,
  fromFile,
  fromVault,
  SecretStoreError,
  type VaultAuth,
  type WritableSecretProvider,
} from '#key-client';
import { invalidField } from '#server';
import type { TargetSetting, TargetSettings } from './target-settings.js';

/** Injection token of {@link DeliveryTargets}. */
export const DELIVERY_TARGETS = Symbol('DELIVERY_TARGETS');

/** The places that secrets of keys may be put into. */
export interface DeliveryTargets {
  /**
   * The place that is asked for, where a key's secret may go there.
   *
   * @throws ProblemException INVALID_REQUEST pointing into `/deliverTo`
   */
  placeFor(wanted: DeliverTo, key: Pick<Key, 'consumer' | 'grants'>): WritableSecretProvider;
}

type Open = (path: string, field: string | undefined) => WritableSecretProvider;

/** Targets as they are configured. Nothing is connected to before it is used. */
export function createDeliveryTargets(settings: TargetSettings): DeliveryTargets {
  const targets = new Map(
    Object.entries(settings).map(([name, setting]) => [name, { setting, open: openerOf(setting) }]),
  );
  return {
    placeFor: ({ provider, path, field }, key) => {
      const target = targets.get(provider);
      if (!target || !isForServices(target.setting, key))
        throw invalidField('/deliverTo/provider', noProvider(settings, key));
      const allowed = placesIn(target.setting, key);
      if (!allowed.some((one) => isWithin(one, path)))
        throw invalidField('/deliverTo/path', notThere(provider, allowed));
      if (field !== undefined && target.setting.type === 'file')
        throw invalidField('/deliverTo/field', 'A file holds the key alone; leave this out');
      return target.open(path, field);
    },
  };
}

/** Names those that keys of the same services may use: others are not the caller's to know. */
function noProvider(settings: TargetSettings, key: Pick<Key, 'grants'>): string {
  const names = Object.keys(settings).filter((name) => isForServices(settings[name]!, key));
  if (names.length === 0) return 'There is no provider for this key here (DELIVERY_TARGETS)';
  return `There is no such provider here; use one of ${names.join(', ')}`;
}

function isForServices({ services }: TargetSetting, { grants }: Pick<Key, 'grants'>): boolean {
  return services === undefined || grants.every((one) => services.includes(one.service));
}

/** Where secrets of a key's consumer may be put: paths, or beginnings of some. */
function placesIn({ allow }: TargetSetting, { consumer }: Pick<Key, 'consumer'>): string[] {
  return allow.map((one) => one.replaceAll('{consumer}', consumer));
}

function isWithin(place: string, path: string): boolean {
  return place.endsWith('/') ? path.startsWith(place) : path === place;
}

function notThere(provider: string, places: readonly string[]): string {
  const named = places.map((one) => (one.endsWith('/') ? `${one}...` : one));
  return `This key may not be put there in ${provider}; use ${named.join(' or ')}`;
}

function openerOf(setting: TargetSetting): Open {
  if (setting.type === 'file') return (path) => fileAt(join(setting.directory, path), setting.mode);
  if (setting.type === 'aws') {
    const { region, endpoint, timeoutMs } = setting;
    const place = { timeoutMs, ...(region && { region }), ...(endpoint && { endpoint }) };
    return (secretId, field) => fromAws({ ...place, secretId, ...(field && { field }) });
  }
  const { address, namespace, mount, timeoutMs } = setting;
  const connection = connectVault({
    ...{ address, timeoutMs, auth: authOf(setting.auth) },
    ...(namespace && { namespace }),
  });
  return (path, field = setting.field) => fromVault({ connection, mount, path, field });
}

/** What opens Vault is read when it is needed, and so may be replaced at any time. */
function authOf(auth: Extract<TargetSetting, { type: 'vault' }>['auth']): VaultAuth {
  if ('tokenFile' in auth) return { token: () => readFile(auth.tokenFile, 'utf8') };
  const { roleId, secretIdFile, mount } = auth;
  if (secretIdFile === undefined) return { roleId, mount };
  return { roleId, mount, secretId: () => readFile(secretIdFile, 'utf8') };
}

function fileAt(path: string, mode: string): WritableSecretProvider {
  const file = fromFile(path, { mode: Number.parseInt(mode, 8) });
  const write = async (secret: string) => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(() => {
      throw new SecretStoreError('The folder of the file cannot be made', true);
    });
    return file.write(secret);
  };
  return { ...file, write };
}
