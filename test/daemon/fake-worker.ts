/** Thread entry: a worker that carries nothing, tells in log records which letters it got, and misbehaves on order. */

import type { LetterToMain, LetterToWorker } from '../../src/shm/letter.ts';
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';

declare const self: Worker & { postMessage(message: LetterToMain): void };

/** What each worker does: an Int32Array over a buffer that comes with the options. */
export const Order = { obey: 0, stayMute: 1, dieAtStart: 2, dieAtNextLetter: 3 } as const;

let index = -1;
let orders: Int32Array = new Int32Array(0);

function say(text: string): void {
  const record = { wallMs: 0, severity: 'info', domain: 'general', text: `${index}: ${text}` } as const;
  self.postMessage({ kind: 'log', worker: index, record });
}

function start(letter: Extract<LetterToWorker, { kind: 'start' }>): void {
  index = letter.worker;
  orders = new Int32Array((letter.options as unknown as { orders: SharedArrayBuffer }).orders);
  const rings = letter.rings.map(({ worker }) => worker).join(',');
  say(
    `start, rings to [${rings}], ${letter.listeners.length} listeners, key ${letter.credentials.generation}`,
  );
  if (orders[index] === Order.dieAtStart) process.exit(1);
  new Scoreboard(letter.shared.scoreboard, index).add(Counter.circuits_created, 10);
  self.postMessage({ kind: 'ready', worker: index });
}

function detailOf(letter: LetterToWorker): string {
  if (letter.kind === 'detach') return ` ${letter.worker}`;
  if (letter.kind === 'attach') return ` ${letter.rings.worker}`;
  return letter.kind === 'credentials' ? ` ${letter.credentials.generation}` : '';
}

self.onmessage = (event: MessageEvent<LetterToWorker>) => {
  const letter = event.data;
  if (letter.kind === 'start') {
    start(letter);
    return;
  }
  if (orders[index] === Order.dieAtNextLetter) process.exit(1);
  say(letter.kind + detailOf(letter));
  if (letter.kind === 'dump') {
    const report = { generation: 9, hijackedHosts: [Uint8Array.of(192, 0, 2, index)], useless: true };
    self.postMessage({ kind: 'dns', worker: index, report });
  }
  if (orders[index] === Order.stayMute || letter.kind === 'origin') return;
  const generation = letter.kind === 'options' ? letter.options.generation : letter.generation;
  self.postMessage({ kind: 'ack', worker: index, of: letter.kind, generation });
};
