/** Thread entry for clock.test.ts: answers every message with this thread's time. */
import { monotonicMs } from '../../src/time/clock.ts';

declare const self: Worker;
self.onmessage = () => postMessage(monotonicMs());
