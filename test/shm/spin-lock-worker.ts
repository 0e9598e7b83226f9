/**
 * Thread entry for the lock tests: adds to a plain counter under a lock, or takes a lock and never lets it go.
 */
import { lock, unlock } from '../../src/shm/spin-lock.ts';

export interface LockTask {
  readonly role: 'count' | 'hold';
  readonly thread: number;
  readonly words: SharedArrayBuffer;
  /** Word of the lock. */
  readonly at: number;
  readonly count: number;
}

declare const self: Worker;
self.onmessage = (event: MessageEvent<LockTask>) => {
  const { role, thread, at, count } = event.data;
  const words = new Int32Array(event.data.words);
  if (role === 'hold') {
    lock(words, at, thread);
    postMessage('held');
    return;
  }
  for (let i = 0; i < count; i++) {
    lock(words, at, thread);
    // Two plain stores: without the lock, some would be lost.
    words[at + 1] = words[at + 1]! + 1;
    words[at + 2] = words[at + 2]! + 1;
    unlock(words, at, thread);
  }
  postMessage('counted');
};
