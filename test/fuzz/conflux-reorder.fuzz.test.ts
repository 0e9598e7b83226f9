/**
 * Fuzzes what comes over the legs of a conflux set: any messages and SWITCHes in any order, as a malicious client could
 * send them. The set hands messages on in the order of their numbers or refuses; it never does anything else, and its
 * account of what waits is exact.
 */
import { deepStrictEqual, ok } from 'node:assert';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { ConfluxSet, type LegPort, WAITING_BYTES } from '../../src/circuit/conflux.ts';
import { Violation } from '../../src/fault.ts';
import { fuzz } from './fuzz.ts';

const LEGS = 3;
const HELD_MAX = 20 * (WAITING_BYTES + 1);
const PORT: LegPort = { room: () => 1, send: () => true, sendBodies: () => true, close() {} };

/**
 * One byte an event: the lowest two bits name the leg (3: a leg leaves), the rest are the distance of a SWITCH, or 0 for
 * a message.
 */
function play(bytes: Uint8Array): void {
  let told = 0;
  const set = new ConfluxSet({
    onSetClosed() {},
    onHeld: (change) => {
      told += change;
    },
    count() {},
  });
  const legs = Array.from({ length: LEGS }, () => set.join(PORT, 3));
  // The number that each message was given, by its own tally.
  const numbers = legs.map(() => 0);
  let delivered = 0;
  const take = (data: Uint8Array): void => {
    delivered++;
    deepStrictEqual(set.delivered, delivered);
    deepStrictEqual(data[0], delivered & 0xff);
  };
  for (const byte of bytes) {
    const which = byte & 3;
    if (which === LEGS) {
      const leg = legs[byte >> 6]!;
      if (leg !== undefined && set.leave(leg, false)) {
        set.close(9);
        break;
      }
      continue;
    }
    const leg = legs[which]!;
    if (!set.legs.includes(leg)) continue;
    if (byte >> 2 !== 0) {
      set.onSwitch(leg, byte >> 2);
      numbers[which]! += byte >> 2;
      continue;
    }
    const seq = ++numbers[which]!;
    const data = Uint8Array.of(seq & 0xff);
    if (set.receive(leg, RelayCommand.DATA, 1, data, 0, HELD_MAX)) {
      take(data);
      for (let next = set.next(); next !== null; next = set.next()) take(next.data);
    }
    deepStrictEqual(told, set.heldBytes);
    ok(set.heldBytes <= HELD_MAX);
  }
  set.close(9);
  deepStrictEqual(told, 0);
}

fuzz('conflux-reorder', {
  corpus: [
    Uint8Array.of(0, 0, 0, 0),
    Uint8Array.of(0x0d, 1, 1, 0, 0, 0, 0x0c, 0),
    Uint8Array.of(0x0d, 1, 0x16, 2, 0, 0, 0, 1, 2, 2),
    Uint8Array.of(0x05, 1, 3, 0x43, 0, 0x83, 0),
    new Uint8Array(64).fill(1, 1).with(0, 0xfd),
  ],
  run: (bytes) => {
    try {
      play(bytes);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      ok(['conflux_sequence_back', 'conflux_queue_full', 'conflux_bad_sequence'].includes(error.counter));
    }
  },
  cases: 5000,
});
