/**
 * Thread entry for doorbell.test.ts. `owner` counts its wake-ups until a shared word reaches a goal; `ringer`
 * raises that word and rings, as often as told.
 */
import { Doorbell } from '../../src/shm/doorbell.ts';

export interface BellTask {
  readonly role: 'owner' | 'ringer';
  readonly bells: SharedArrayBuffer;
  readonly news: SharedArrayBuffer;
  /** Owner: the word's value at which it answers. Ringer: how often to raise it. */
  readonly count: number;
}

declare const self: Worker;
self.onmessage = (event: MessageEvent<BellTask>) => {
  const { role, bells, news, count } = event.data;
  if (role === 'owner') own(new Doorbell(bells, 1), new Int32Array(news), count);
  else ring(new Doorbell(bells, 1), new Int32Array(news), count);
};

function own(bell: Doorbell, news: Int32Array, goal: number): void {
  let wakes = 0;
  let seen = 0;
  const look = () => {
    for (;;) {
      seen = Atomics.load(news, 0);
      if (seen >= goal) {
        postMessage({ wakes, seen });
        return;
      }
      bell.arm(woken);
      if (Atomics.load(news, 0) === seen) return;
      bell.disarm();
    }
  };
  const woken = () => {
    wakes++;
    look();
  };
  postMessage('ready');
  look();
}

function ring(bell: Doorbell, news: Int32Array, count: number): void {
  let rung = 0;
  let done = 0;
  const some = () => {
    for (let i = 0; i < 50 && done < count; i++, done++) {
      Atomics.add(news, 0, 1);
      if (bell.ring()) rung++;
    }
    if (done < count) setImmediate(some);
    else postMessage({ rung });
  };
  some();
}
