import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/** Of what lives. V8's own choice for small heaps is up to 300. */
const GROWTH_PERCENT = 30;

/*
 * Imported before anything else by the main file of each app: V8 collects the old generation when it has grown by three
 * tenths of what lives, instead of several times that, so that a service at full load stays near the memory that it needs. At a fifth, a
 * collection stopped the main thread too often, and cold start and p99 were worse; see docs/performance.md before changing it. V8
 * reads the flag anew for each collection, and the first ones, while everything else is loaded, decide when the next comes.
 *
 * The young generation cannot be bounded from here: `--max-semi-space-size` is read when a process begins, so it stands where
 * processes are started, beside malloc's arenas.
 */
setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
/*
 * The young generation is collected by the main thread alone: what survives of it is a megabyte or two, and to wake threads that
 * share this cost more than it saved where they share its processor, too; with several processors it was not measured.
 */
setFlagsFromString('--no-parallel-scavenge');
/*
 * So is the memory of buffers that went with it, some thousands each time: handed to a thread it took the main one, which shares a
 * processor with it, four times as long to get on as freeing them takes.
 */
setFlagsFromString('--no-concurrent-array-buffer-sweeping');
/*
 * With one processor nobody can mark beside the main thread, only in its place: four threads of the same claim each, for turns of some
 * milliseconds. The main thread marks in steps of a fraction of that.
 */
if (availableParallelism() === 1) setFlagsFromString('--no-concurrent-marking');
/*
 * Nothing is put into the old generation at once because others of its kind grew old: under load much grows old while Redis is asked, and
 * what is made there and dropped at once, as most of it is, would keep everything it names until the whole heap is collected.
 */
setFlagsFromString('--no-allocation-site-pretenuring');
