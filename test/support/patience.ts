/**
 * How long a test waits for what comes by itself, in milliseconds: many times what it takes on a machine that has nothing else to do.
 * Only what never comes takes this long.
 */
export const PATIENCE_MS = 60_000;

/** The platform recovers from the loss of a server in 10 seconds; a machine that is busy with other things may be late by as much again. */
export const RECOVERY_MS = 10_000 + 10_000;
