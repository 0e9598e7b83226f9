/**
 * Thread entry for the ring stress test: sends `count` numbered slots and, at the same time, checks those that
 * come in, as a relay worker does: asleep on its doorbell whenever there is nothing to do.
 */

import { CELL_BYTES } from '../../src/cell/cell.ts';
import { Doorbell } from '../../src/shm/doorbell.ts';
import { Ring, SLOT_HEADER_BYTES, SlotKind } from '../../src/shm/ring.ts';
import { seeded } from './seeded.ts';

export interface RingTask {
  readonly me: number;
  readonly count: number;
  readonly seed: number;
  readonly bells: SharedArrayBuffer;
  readonly outgoing: SharedArrayBuffer;
  readonly incoming: SharedArrayBuffer;
}

export interface RingReport {
  readonly received: number;
  readonly wrong: number;
  readonly wakes: number;
  readonly fullWaits: number;
  readonly sum: number;
}

declare const self: Worker;
self.onmessage = (event: MessageEvent<RingTask>) => run(event.data);

function run(task: RingTask): void {
  const mine = new Doorbell(task.bells, task.me);
  const theirs = new Doorbell(task.bells, 1 - task.me);
  const out = new Ring(task.outgoing, theirs, mine);
  const into = new Ring(task.incoming, mine, theirs);
  const random = seeded(task.seed + task.me);
  let sent = 0;
  let received = 0;
  let wrong = 0;
  let wakes = 0;
  let fullWaits = 0;
  let sum = 0;

  function sendSome(): boolean {
    let budget = Math.floor(random() * 200);
    let full = false;
    while (sent < task.count && budget-- > 0 && !full) {
      const at = out.reserve(sent % 7 === 0);
      if (at < 0) {
        full = !out.wantSpace(sent % 7 === 0);
        if (full) fullWaits++;
        continue;
      }
      const word = at >> 2;
      out.u32[word] = sent % 7 === 0 ? SlotKind.LEG_DESTROY : SlotKind.CELL;
      out.u32[word + 1] = sent;
      out.u8.fill((sent * 31) & 255, at + SLOT_HEADER_BYTES, at + SLOT_HEADER_BYTES + CELL_BYTES);
      out.commit();
      sent++;
    }
    out.publish();
    return full;
  }

  function takeSome(): void {
    let budget = 1 + Math.floor(random() * 300);
    for (let at = into.peek(); at >= 0 && budget-- > 0; at = into.peek()) {
      const word = at >> 2;
      const number = into.u32[word + 1]!;
      const kind = number % 7 === 0 ? SlotKind.LEG_DESTROY : SlotKind.CELL;
      const fill = (number * 31) & 255;
      const first = into.u8[at + SLOT_HEADER_BYTES];
      const last = into.u8[at + SLOT_HEADER_BYTES + CELL_BYTES - 1];
      if (number !== received || into.u32[word] !== kind || first !== fill || last !== fill) wrong++;
      sum += number;
      received++;
      into.advance();
    }
    into.release();
  }

  function turn(): void {
    takeSome();
    const full = sendSome();
    if (received === task.count && sent === task.count) {
      const report: RingReport = { received, wrong, wakes, fullWaits, sum };
      postMessage(report);
      return;
    }
    if (sent < task.count && !full) {
      setImmediate(turn);
      return;
    }
    mine.arm(woken);
    if (into.hasWork() || (sent < task.count && out.wantSpace(sent % 7 === 0))) {
      mine.disarm();
      setImmediate(turn);
    }
  }

  // A wake-up may come on top of a turn that is due anyway: it then only takes a little more.
  let due = false;
  function woken(): void {
    wakes++;
    if (due) return;
    due = true;
    setImmediate(() => {
      due = false;
      turn();
    });
  }

  turn();
}
