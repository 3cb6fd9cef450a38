import { setFlagsFromString } from 'node:v8';

/** Of what lives. V8's own choice for small heaps is up to 300. */
const GROWTH_PERCENT = 40;

/*
 * Imported before anything else by the main file of each app: V8 collects the old generation when it has grown by two fifths of
 * what lives, instead of several times that, so that a service at full load stays near the memory that it needs. At a fifth it
 * needed some 10 MiB less, but a collection stops the main thread for 15 ms, and cold start and p99 were worse; see
 * docs/performance.md before changing it. V8 reads the flag anew for each collection, and the first ones, while everything else
 * is loaded, decide when the next comes. The young generation is left as V8 wants it: half of it costs a twentieth of the CPU
 * time more.
 */
setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
