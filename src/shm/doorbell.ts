/**
 * How another thread wakes a worker that has nothing to do: one shared word per worker.
 *
 * A worker has many inbound rings and a mailbox but one doorbell. Before it idles it *arms* the bell and looks
 * once more at everything that could have come; whoever has put something there *rings*. Ringing an awake worker
 * is one atomic load.
 *
 * The word is ASLEEP while the owner wants to be woken. Ringing swaps ASLEEP for AWAKE, and only the one who
 * swapped notifies. The owner keeps at most one `Atomics.waitAsync` outstanding. No ring is lost:
 * - the ringer stores its news, then reads the word; the owner stores ASLEEP, then looks for news; both are
 *   sequentially consistent, so one of them sees the other;
 * - a word that was swapped while no wait was outstanding makes the next `waitAsync` answer "not-equal";
 * - while a wait is outstanding whose wake-up has not run yet, another ring needs no second notify, because that
 *   wake-up is still to come and looks at everything.
 *
 * Notify wakes all waiters of the word: the wait of a worker that has died may still stand in the list, and must
 * not swallow its successor's wake-up.
 */

const AWAKE = 0;
const ASLEEP = 1;
/** A cache line per worker. */
const LINE_WORDS = 16;

const quiet = (): void => {};

export class Doorbell {
  readonly #words: Int32Array;
  readonly #at: number;
  #onWake: () => void = quiet;
  #waiting = false;
  readonly #woken: () => void;

  /** Bytes of shared memory for the doorbells of `workers` workers. */
  static bytes(workers: number): number {
    return workers * LINE_WORDS * 4;
  }

  /** Make the shared words, all awake. */
  static create(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(Doorbell.bytes(workers));
  }

  /** Open the bell of the worker with this index, to ring it or, as its owner, to arm it. */
  constructor(sab: SharedArrayBuffer, index: number) {
    this.#words = new Int32Array(sab);
    this.#at = index * LINE_WORDS;
    this.#woken = () => {
      this.#waiting = false;
      Atomics.store(this.#words, this.#at, AWAKE);
      this.#onWake();
    };
  }

  /** Wake the owner if it sleeps; call after the news is stored. Returns whether it slept. */
  ring(): boolean {
    if (Atomics.load(this.#words, this.#at) === AWAKE) return false;
    if (Atomics.compareExchange(this.#words, this.#at, ASLEEP, AWAKE) !== ASLEEP) return false;
    Atomics.notify(this.#words, this.#at);
    return true;
  }

  /**
   * Owner: ask to be woken by `onWake`, which runs on the event loop, once per arming or more seldom. After this
   * the caller must look once more at its rings and mail; if there is anything, `disarm` and go on. `onWake` may
   * find nothing to do.
   */
  arm(onWake: () => void): void {
    this.#onWake = onWake;
    Atomics.store(this.#words, this.#at, ASLEEP);
    if (this.#waiting) return;
    this.#waiting = true;
    const wait = Atomics.waitAsync(this.#words, this.#at, ASLEEP);
    if (wait.async) wait.value.then(this.#woken);
    else queueMicrotask(this.#woken);
  }

  /** Owner: awake for another reason (socket data, a timer); spares the others the notify. */
  disarm(): void {
    Atomics.store(this.#words, this.#at, AWAKE);
  }

  /** Owner: leave for good; nothing is called any more, and an outstanding wait ends. */
  close(): void {
    this.#onWake = quiet;
    Atomics.store(this.#words, this.#at, AWAKE);
    Atomics.notify(this.#words, this.#at);
  }
}
