import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { SecretStoreError } from './secret-provider.js';
import { callVault, vaultPathOf, type VaultPlace } from './vault-call.js';

/** Something that opens a door: itself, or how to get it when it is needed, such as from a file. */
export type Credential = string | (() => string | Promise<string>);

/** Who we are to Vault: the holder of a token, or an AppRole. */
export type VaultAuth =
  | { token: Credential }
  | {
      roleId: Credential;
      /** Left out where the role does not ask for one. */
      secretId?: Credential;
      /** Where the auth method is mounted; `approle` by default. */
      mount?: string;
    };

/** The token of a connection: there while it is needed, renewed while it can be. */
export interface VaultToken {
  /** @throws SecretStoreError where there is none to be had */
  current(): Promise<string>;
  /** Another one after `refused` was refused; null where there is no other one. */
  after(refused: string): Promise<string | null>;
}

/** Of a lease: when it is renewed, of which each holder takes a little less by chance. */
const RENEW_AT = 2 / 3;
const JITTER = 0.1;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** Where Vault cannot answer: the first pause, a part of the time that is left at most, and the longest. */
const FIRST_PAUSE_MS = 1_000;
const FIRST_PAUSE = 1 / 8;
const LONGEST_PAUSE_MS = 60_000;
/** A lease that has shrunk to this part of the first one cannot be extended much further. */
const SHRUNK = 1 / 3;

const lease = z.object({ lease_duration: z.number().min(0), renewable: z.boolean() });
const granted = z.object({ auth: lease.extend({ client_token: z.string().min(1) }) });
const renewed = z.object({ auth: lease });
const looked = z.object({ data: z.object({ ttl: z.number().min(0), renewable: z.boolean() }) });
type Lease = z.infer<typeof lease>;

/**
 * Gets a token as `auth` says and renews it in the background when two thirds of its lease are over, without keeping the
 * process alive; while Vault cannot answer it tries again until the lease ends. One of an AppRole whose lease ends is given up
 * for a new login.
 */
export function createVaultToken(place: VaultPlace, auth: VaultAuth): VaultToken {
  let held: string | null = null;
  let running: Promise<string> | null = null;

  const forget = (token: string): void => {
    if (held === token && 'roleId' in auth) held = null;
  };
  const obtain = async (): Promise<string> => {
    const { token, lease } = await ('roleId' in auth ? logIn(place, auth) : given(place, auth));
    if (token !== held) {
      held = token;
      const isHeld = (): boolean => held === token;
      void insist(lease, { isHeld, untilMs: Infinity }).then(
        (of) => of && keepAlive(place, of, { token, isHeld, forget }),
      );
    }
    return token;
  };
  const share = (): Promise<string> => {
    running ??= obtain().finally(() => {
      running = null;
    });
    return running;
  };
  return {
    current: () => (held === null ? share() : Promise.resolve(held)),
    after: async (refused) => {
      const next = held === null || held === refused ? await share() : held;
      return next === refused ? null : next;
    },
  };
}

/**
 * A token, and how long it goes; null where Vault does not say, and it is then used as long as it goes. Asking throws where Vault
 * cannot answer.
 */
interface Obtained {
  token: string;
  lease: () => Promise<Lease | null>;
}

/** Who uses a token that is to be kept alive. */
interface Holder {
  token: string;
  isHeld: () => boolean;
  forget: (token: string) => void;
}

/** Renews a token again and again as long as it is held; has it forgotten where that does not help. */
function keepAlive(place: VaultPlace, first: Lease, { token, isHeld, forget }: Holder): void {
  const plan = ({ lease_duration: seconds, renewable }: Lease): void => {
    if (seconds === 0) return;
    const untilMs = performance.now() + seconds * 1_000;
    const isWorthIt = renewable && seconds > first.lease_duration * SHRUNK;
    const renew = async (): Promise<void> => {
      if (!isHeld()) return;
      const renewal = () => renewedLease(place, token);
      const next = isWorthIt ? await insist(renewal, { isHeld, untilMs }) : null;
      if (next === null) forget(token);
      else plan(next);
    };
    const dueMs = seconds * 1_000 * RENEW_AT * (1 - Math.random() * JITTER);
    setTimeout(() => void renew(), Math.min(dueMs, LONGEST_TIMER_MS)).unref();
  };
  plan(first);
}

/** What `ask` gives, again and again after growing pauses where Vault cannot answer; null where that does not end in time. */
async function insist<T>(
  ask: () => Promise<T>,
  { isHeld, untilMs }: { isHeld: () => boolean; untilMs: number },
): Promise<T | null> {
  let pauseMs = Math.min(FIRST_PAUSE_MS, (untilMs - performance.now()) * FIRST_PAUSE);
  for (;;) {
    try {
      return await ask();
    } catch {
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) return null;
      const waitMs = Math.min(pauseMs * (1 - Math.random() * JITTER), leftMs);
      await sleep(waitMs, undefined, { ref: false });
      if (!isHeld()) return null;
      pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    }
  }
}

async function logIn(
  place: VaultPlace,
  { roleId, secretId, mount = 'approle' }: Extract<VaultAuth, { roleId: Credential }>,
): Promise<Obtained> {
  const { status, body } = await callVault(place, {
    method: 'POST',
    path: `auth/${vaultPathOf(mount)}/login`,
    body: {
      role_id: (await valueOf(roleId)).trim(),
      ...(secretId !== undefined && { secret_id: (await valueOf(secretId)).trim() }),
    },
  });
  const parsed = granted.safeParse(body);
  if (status === 200 && parsed.success) {
    const { client_token: token, ...lease } = parsed.data.auth;
    return { token, lease: () => Promise.resolve(lease) };
  }
  throw new SecretStoreError(`Vault does not let this AppRole log in (${status})`, true);
}

async function given(
  place: VaultPlace,
  auth: Extract<VaultAuth, { token: Credential }>,
): Promise<Obtained> {
  const token = (await valueOf(auth.token)).trim();
  return { token, lease: () => leaseOf(place, token) };
}

async function renewedLease(place: VaultPlace, token: string): Promise<Lease | null> {
  const call = { method: 'POST', path: 'auth/token/renew-self', token, body: {} } as const;
  const { body } = await callVault(place, call);
  return renewed.safeParse(body).data?.auth ?? null;
}

async function leaseOf(place: VaultPlace, token: string): Promise<Lease | null> {
  const call = { method: 'GET', path: 'auth/token/lookup-self', token } as const;
  const { body } = await callVault(place, call);
  const { data } = looked.safeParse(body);
  return data ? { lease_duration: data.data.ttl, renewable: data.data.renewable } : null;
}

async function valueOf(credential: Credential): Promise<string> {
  if (typeof credential === 'string') return credential;
  try {
    return await credential();
  } catch {
    throw new SecretStoreError('What opens Vault cannot be read', false);
  }
}
