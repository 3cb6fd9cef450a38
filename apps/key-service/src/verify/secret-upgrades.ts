/** Injection token of {@link SecretUpgrades}. */
export const SECRET_UPGRADES = Symbol('SECRET_UPGRADES');

/** A secret that was just used, and what its digest was made with: 0 where it was imported and has none of ours. */
export interface UsedSecret {
  keyId: string;
  secretNumber: number;
  pepperVersion: number;
  text: string;
}

/** Brings digests of an older pepper, and imported hashes, to the newest pepper when their keys are used. */
export interface SecretUpgrades {
  /** Takes note of a use; nobody waits for what comes of it. */
  used(secret: UsedSecret): void;
}
