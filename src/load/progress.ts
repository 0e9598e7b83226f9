/**
 * How a load is waited for: whoever measures hears how far it has come, and what stands still is given up.
 *
 * Times are milliseconds. What stood still has done so for `STALL_MS`; tests take less.
 */
const STALL_MS = 20_000;
const POLL_MS = 2;
const PROGRESS_MS = 100;

/** Ask again and again until it is so. @throws what `fault` says, once it has not been so for too long */
export async function untilTrue(
  isSo: () => Promise<boolean>,
  fault: () => Error,
  pollMs = POLL_MS,
  stallMs = STALL_MS,
): Promise<void> {
  for (const sinceMs = performance.now(); !(await isSo()); ) {
    if (performance.now() - sinceMs > stallMs) throw fault();
    await Bun.sleep(pollMs);
  }
}

/** Something that is counted as it arrives. */
export interface Arrival {
  /** So many have arrived. */
  readonly count: () => number;
  /** So many are to; may change meanwhile. */
  readonly goal: () => number;
  /** Hears, whenever more has arrived, how many are left. */
  readonly onProgress: (left: number) => void;
  /** What it means that nothing more arrives. */
  readonly fault: (left: number) => Promise<Error>;
}

/** Look on until all has arrived. @throws what `fault` says, once nothing has arrived for too long */
export async function untilArrived(
  { count, goal, onProgress, fault }: Arrival,
  stallMs = STALL_MS,
): Promise<void> {
  let seen = count();
  let seenMs = performance.now();
  while (seen < goal()) {
    await Bun.sleep(POLL_MS);
    const now = count();
    if (now > seen) {
      seen = now;
      seenMs = performance.now();
      onProgress(goal() - seen);
    } else if (performance.now() - seenMs > stallMs) {
      throw await fault(goal() - seen);
    }
  }
}

/**
 * Make a call that counts what it has done in the first four bytes of `meter`. `onProgress` hears the count now and then.
 *
 * @param fault what it means that the count stands still; without it that may last
 * @throws what `fault` says, once it has stood still for too long; the call goes on unheard
 */
export async function metered<T>(
  call: (meter: SharedArrayBuffer) => Promise<T>,
  onProgress: (done: number) => void,
  fault?: (done: number) => Error,
  stallMs = STALL_MS,
): Promise<T> {
  const meter = new SharedArrayBuffer(4);
  const counted = new Uint32Array(meter);
  let before = 0;
  let sinceMs = performance.now();
  const { promise: stalled, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    const done = counted[0]!;
    if (done > before) sinceMs = performance.now();
    else if (fault !== undefined && performance.now() - sinceMs > stallMs) reject(fault(done));
    before = done;
    onProgress(done);
  }, PROGRESS_MS);
  try {
    return await Promise.race([call(meter), stalled]);
  } finally {
    clearInterval(timer);
  }
}
