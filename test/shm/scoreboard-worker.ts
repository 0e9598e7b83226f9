/** Thread entry for scoreboard.test.ts: counts relayed cells one by one. */
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';

declare const self: Worker;
self.onmessage = (event: MessageEvent<{ sab: SharedArrayBuffer; worker: number; count: number }>) => {
  const board = new Scoreboard(event.data.sab, event.data.worker);
  for (let i = 0; i < event.data.count; i++) board.add(Counter.cells_read, 1);
  postMessage('counted');
};
