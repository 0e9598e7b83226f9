/**
 * Where the thread entries are. This file must lie beside them: compiled, all sources are one file at that place, so
 * only a URL that is relative to it is right both ways.
 */

/** The data-plane worker. */
export const WORKER_URL = new URL('./worker.ts', import.meta.url).href;

/** One end of a load that `bench` puts on a relay. */
export const LOAD_URL = new URL('./load.ts', import.meta.url).href;

/** Compresses documents and makes diffs. */
export const CLERK_URL = new URL('./clerk.ts', import.meta.url).href;

/** The client of a test network. */
export const CLIENT_URL = new URL('./client.ts', import.meta.url).href;
