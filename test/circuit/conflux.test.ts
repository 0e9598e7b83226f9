/** A conflux set by itself: legs are played by hand, and in the end over random delays. */
import { describe, expect, test } from 'bun:test';
import { ConfluxUx, decodeConfluxSwitch } from '../../src/cell/conflux.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import {
  ConfluxSet,
  confluxAlgorithm,
  isMultiplexed,
  type LegPort,
  LOW_RTT,
  MIN_RTT,
  type SetLeg,
  WAITING_BYTES,
} from '../../src/circuit/conflux.ts';
import { Violation } from '../../src/fault.ts';
import { Prng } from '../fuzz/prng.ts';

const NOTHING = new Uint8Array(0);
const NO_LIMIT = Number.POSITIVE_INFINITY;

/** A leg that notes what is sent on it. */
class Port implements LegPort {
  free = 100;
  /** Commands sent; a SWITCH as `+n`, bodies as `n bodies`. */
  sent: string[] = [];
  closedFor = -1;
  onSend: () => boolean = () => true;

  room(): number {
    return this.free;
  }

  send(command: number, _streamId: number, data: Uint8Array): boolean {
    if (command === RelayCommand.CONFLUX_SWITCH) this.sent.push(`+${decodeConfluxSwitch(data)}`);
    else this.sent.push(`${command}`);
    if (command === RelayCommand.DATA) this.free--;
    return this.onSend();
  }

  sendBodies(_bodies: Uint8Array, count: number): boolean {
    this.sent.push(`${count} bodies`);
    this.free -= count;
    return this.onSend();
  }

  close(reason: number): void {
    this.closedFor = reason;
  }
}

class Rig {
  readonly counted: string[] = [];
  closings = 0;
  held = 0;
  readonly set = new ConfluxSet({
    onSetClosed: () => {
      this.closings++;
    },
    onHeld: (bytes) => {
      this.held += bytes;
    },
    count: (counter) => this.counted.push(counter),
  });
  readonly ports: Port[] = [];
  readonly legs: SetLeg[] = [];

  constructor(rtts: readonly number[], ux: number = ConfluxUx.HIGH_THROUGHPUT) {
    for (const rtt of rtts) this.join(rtt, ux);
  }

  join(rtt: number, ux: number = ConfluxUx.HIGH_THROUGHPUT): SetLeg {
    const port = new Port();
    const leg = this.set.join(port, ux);
    leg.rttUs = rtt;
    this.ports.push(port);
    this.legs.push(leg);
    return leg;
  }

  /** A DATA of one byte comes on a leg; returns what is handed on of it. */
  data(leg: number, value: number, heldMax = NO_LIMIT): number[] {
    const out: number[] = [];
    if (this.set.receive(this.legs[leg]!, RelayCommand.DATA, 1, Uint8Array.of(value), 0, heldMax)) {
      out.push(value);
      for (let next = this.set.next(); next !== null; next = this.set.next()) out.push(next.data[0]!);
    }
    return out;
  }

  send(command: number = RelayCommand.DATA): boolean {
    return this.set.send(command, 1, NOTHING);
  }
}

/** What a call is refused with. */
function refusal(call: () => unknown): [string, number] {
  try {
    call();
  } catch (error) {
    if (error instanceof Violation) return [error.counter, error.reason];
    throw error;
  }
  return ['', 0];
}

describe('commands', () => {
  test('of streams are numbered, those of circuits are not, as in C tor', () => {
    const numbered = Object.entries(RelayCommand)
      .filter(([, command]) => isMultiplexed(command))
      .map(([name]) => name);
    expect(numbered).toEqual(['BEGIN', 'DATA', 'END', 'CONNECTED', 'RESOLVE', 'RESOLVED', 'XOFF', 'XON']);
    for (const unknown of [0, 16, 99, 255]) expect(isMultiplexed(unknown)).toBe(false);
  });

  test('the wish of the client chooses as in C tor', () => {
    expect(confluxAlgorithm(ConfluxUx.NO_OPINION)).toBe(LOW_RTT);
    expect(confluxAlgorithm(ConfluxUx.HIGH_THROUGHPUT)).toBe(LOW_RTT);
    expect(confluxAlgorithm(ConfluxUx.MIN_LATENCY)).toBe(MIN_RTT);
    expect(confluxAlgorithm(ConfluxUx.LOW_MEM_LATENCY)).toBe(MIN_RTT);
    expect(confluxAlgorithm(ConfluxUx.LOW_MEM_THROUGHPUT)).toBe(MIN_RTT);
  });
});

describe('what comes', () => {
  test('on one leg is in order', () => {
    const rig = new Rig([1, 2]);
    for (let i = 1; i < 50; i++) expect(rig.data(0, i)).toEqual([i]);
    expect(rig.set.heldBytes).toBe(0);
  });

  test('too early waits until what it follows has come', () => {
    const rig = new Rig([1, 2]);
    expect(rig.data(0, 1)).toEqual([1]);
    // 2 and 3 are still on their way on leg 0; 4 and 5 come on leg 1.
    rig.set.onSwitch(rig.legs[1]!, 3);
    expect(rig.data(1, 4)).toEqual([]);
    expect(rig.data(1, 5)).toEqual([]);
    expect(rig.set.heldBytes).toBe(2 * (WAITING_BYTES + 1));
    expect(rig.held).toBe(rig.set.heldBytes);
    expect(rig.set.waitingSinceMs).toBe(0);
    expect(rig.data(0, 2)).toEqual([2]);
    expect(rig.data(0, 3)).toEqual([3, 4, 5]);
    expect(rig.set.heldBytes).toBe(0);
    expect(rig.set.waitingSinceMs).toBe(Number.POSITIVE_INFINITY);
    // Back to leg 0, which stands at 3.
    rig.set.onSwitch(rig.legs[0]!, 2);
    expect(rig.data(0, 6)).toEqual([6]);
  });

  test('is merged of more than two legs', () => {
    const rig = new Rig([1, 2, 3]);
    rig.set.onSwitch(rig.legs[2]!, 4);
    expect(rig.data(2, 5)).toEqual([]);
    rig.set.onSwitch(rig.legs[1]!, 2);
    expect(rig.data(1, 3)).toEqual([]);
    expect(rig.data(1, 4)).toEqual([]);
    expect(rig.data(2, 6)).toEqual([]);
    expect(rig.data(0, 1)).toEqual([1]);
    expect(rig.data(0, 2)).toEqual([2, 3, 4, 5, 6]);
  });

  test('keeps its own copy of the data', () => {
    const rig = new Rig([1, 2]);
    rig.set.onSwitch(rig.legs[1]!, 1);
    const data = Uint8Array.of(7);
    rig.set.receive(rig.legs[1]!, RelayCommand.DATA, 9, data, 5, NO_LIMIT);
    data[0] = 8;
    expect(rig.data(0, 1)).toEqual([1, 7]);
  });

  test('with a number that was handed on already is refused', () => {
    const rig = new Rig([1, 2]);
    rig.data(0, 1);
    rig.data(0, 2);
    expect(refusal(() => rig.data(1, 1))).toEqual(['conflux_sequence_back', DestroyReason.INTERNAL]);
  });

  test('twice with one number is refused when its turn has passed', () => {
    const rig = new Rig([1, 2, 3]);
    rig.set.onSwitch(rig.legs[1]!, 1);
    rig.set.onSwitch(rig.legs[2]!, 1);
    rig.data(1, 2);
    rig.data(2, 2);
    expect(refusal(() => rig.data(0, 1))).toEqual(['conflux_sequence_back', DestroyReason.INTERNAL]);
  });

  test('more of than may wait is refused', () => {
    const rig = new Rig([1, 2]);
    rig.set.onSwitch(rig.legs[1]!, 1);
    const most = 3 * (WAITING_BYTES + 1);
    for (let i = 0; i < 3; i++) rig.data(1, i, most);
    expect(rig.set.heldBytes).toBe(most);
    expect(refusal(() => rig.data(1, 9, most))).toEqual(['conflux_queue_full', DestroyReason.RESOURCELIMIT]);
    // What is in order needs no room.
    expect(rig.data(0, 9, most)).toEqual([9, 0, 1, 2]);
  });

  test('cannot be numbered past what numbers hold', () => {
    const rig = new Rig([1]);
    const leap = () => {
      for (let i = 0; i < 2 ** 21; i++) rig.set.onSwitch(rig.legs[0]!, 2 ** 32 - 1);
    };
    expect(refusal(leap)).toEqual(['conflux_bad_sequence', DestroyReason.PROTOCOL]);
  });
});

describe('what is sent', () => {
  test('begins on the quickest leg that answered, without a SWITCH', () => {
    const rig = new Rig([300, 100, 200]);
    rig.send(RelayCommand.CONNECTED);
    rig.send();
    expect(rig.ports.map(({ sent }) => sent)).toEqual([[], ['4', '2'], []]);
    expect(rig.set.switches).toBe(0);
  });

  test('begins on the first leg when none has answered, and DATA waits', () => {
    const rig = new Rig([0, 0]);
    expect(rig.set.room()).toBe(0);
    rig.send(RelayCommand.CONNECTED);
    expect(rig.ports[0]!.sent).toEqual(['4']);
    rig.legs[1]!.rttUs = 50;
    expect(rig.set.room()).toBe(100);
    rig.send();
    expect(rig.ports[1]!.sent).toEqual(['+1', '2']);
  });

  test('for throughput goes on to the next leg once the window is full', () => {
    const rig = new Rig([100, 200]);
    rig.ports[0]!.free = 2;
    rig.ports[1]!.free = 1;
    for (let i = 0; i < 3; i++) {
      expect(rig.set.room()).toBeGreaterThan(0);
      rig.send();
    }
    expect(rig.set.room()).toBe(0);
    expect(rig.ports[0]!.sent).toEqual(['2', '2']);
    expect(rig.ports[1]!.sent).toEqual(['+2', '2']);
    // And back, as soon as there is room.
    rig.ports[0]!.free = 1;
    rig.send();
    expect(rig.ports[0]!.sent).toEqual(['2', '2', '+1', '2']);
    expect(rig.set.switches).toBe(2);
    expect(rig.set.lastSeqSent).toBe(4);
  });

  test('for latency stays on the quickest leg, room or not', () => {
    const rig = new Rig([100, 200], ConfluxUx.MIN_LATENCY);
    rig.ports[0]!.free = 1;
    rig.send();
    expect(rig.set.room()).toBe(0);
    rig.ports[0]!.free = 1;
    expect(rig.set.room()).toBe(1);
    rig.legs[1]!.rttUs = 50;
    rig.send();
    expect(rig.ports[1]!.sent).toEqual(['+1', '2']);
  });

  test('without a window stays where it is when no leg has room', () => {
    const rig = new Rig([100, 200]);
    rig.ports[0]!.free = 1;
    rig.send();
    rig.ports[1]!.free = 0;
    rig.send(RelayCommand.END);
    expect(rig.ports[0]!.sent).toEqual(['2', '3']);
    expect(rig.ports[1]!.sent).toEqual([]);
  });

  test('as bodies counts each', () => {
    const rig = new Rig([100, 200]);
    rig.ports[0]!.free = 5;
    rig.set.sendBodies(NOTHING, 5);
    rig.set.sendBodies(NOTHING, 7);
    expect(rig.ports[0]!.sent).toEqual(['5 bodies']);
    expect(rig.ports[1]!.sent).toEqual(['+5', '7 bodies']);
    expect(rig.set.lastSeqSent).toBe(12);
  });

  test('ends when a leg dies of a SWITCH', () => {
    const rig = new Rig([100, 200]);
    rig.ports[0]!.free = 1;
    rig.send();
    rig.ports[1]!.onSend = () => {
      if (rig.set.leave(rig.legs[1]!, false)) rig.set.close(DestroyReason.FINISHED);
      return false;
    };
    expect(rig.send()).toBe(false);
    expect(rig.set.closed).toBe(true);
    expect(rig.send(RelayCommand.END)).toBe(false);
    expect(rig.ports[0]!.closedFor).toBe(DestroyReason.FINISHED);
  });

  test('cannot be further on a leg than where it goes on from', () => {
    const rig = new Rig([100, 200]);
    rig.send();
    rig.legs[1]!.lastSeqSent = 9;
    rig.ports[0]!.free = 0;
    expect(rig.send()).toBe(false);
    expect(rig.counted).toEqual(['conflux_bad_sequence']);
    expect(rig.ports.map(({ closedFor }) => closedFor)).toEqual([
      DestroyReason.PROTOCOL,
      DestroyReason.PROTOCOL,
    ]);
    expect(rig.closings).toBe(1);
  });
});

describe('a leg', () => {
  test('joins up to the bound', () => {
    const rig = new Rig([1, 2, 3]);
    expect(rig.set.judge(0, 0, 4)).toBeNull();
    expect(rig.set.judge(0, 0, 3)).toEqual({ counter: 'conflux_too_many_legs', endsSet: false });
  });

  test('cannot join when the client sent what never came', () => {
    const rig = new Rig([1]);
    rig.data(0, 1);
    expect(rig.set.judge(1, 0, 8)).toBeNull();
    expect(rig.set.judge(2, 0, 8)).toEqual({ counter: 'conflux_data_loss', endsSet: true });
  });

  test('cannot join when the client got what was never sent', () => {
    const rig = new Rig([1]);
    rig.send();
    expect(rig.set.judge(0, 1, 8)).toBeNull();
    expect(rig.set.judge(0, 2, 8)).toEqual({ counter: 'conflux_bad_sequence', endsSet: false });
  });

  test('that joins later begins where the set stands', () => {
    const rig = new Rig([100]);
    for (let i = 1; i <= 4; i++) rig.data(0, i);
    for (let i = 0; i < 3; i++) rig.send();
    const leg = rig.join(50);
    expect([leg.lastSeqRecv, leg.lastSeqSent]).toEqual([4, 3]);
    rig.send();
    expect(rig.ports[1]!.sent).toEqual(['+0', '2']);
    expect(rig.data(1, 5)).toEqual([5]);
  });

  test('that was not in use leaves, and the others go on', () => {
    const rig = new Rig([100, 200]);
    rig.send();
    rig.data(0, 1);
    expect(rig.set.leave(rig.legs[1]!, false)).toBe(false);
    expect(rig.send()).toBe(true);
    expect(rig.set.legs.length).toBe(1);
  });

  test.each([
    ['sends', (rig: Rig) => rig.send(), 0, false],
    ['has DATA in flight', () => {}, 1, true],
    ['brought the latest', (rig: Rig) => rig.data(1, 1), 1, false],
  ] as const)('that %s takes the set along', (_name, act, which, inFlight) => {
    const rig = new Rig([100, 200]);
    act(rig);
    expect(rig.set.leave(rig.legs[which]!, inFlight)).toBe(true);
  });

  test('that sent the latest takes the set along, also when another sends by now', () => {
    const rig = new Rig([100, 200]);
    rig.ports[0]!.free = 1;
    rig.send();
    // The one in use has the latest number; one that is not has less, unless it was never caught up with.
    rig.legs[1]!.lastSeqSent = 5;
    expect(rig.set.leave(rig.legs[1]!, false)).toBe(true);
  });

  test('that was the last takes the set along', () => {
    const rig = new Rig([0]);
    expect(rig.set.leave(rig.legs[0]!, false)).toBe(true);
  });

  test('that leaves with what has come too early leaves it here', () => {
    const rig = new Rig([100, 200, 300]);
    rig.set.onSwitch(rig.legs[1]!, 1);
    rig.data(1, 2);
    rig.set.onSwitch(rig.legs[2]!, 2);
    rig.data(2, 3);
    expect(rig.set.leave(rig.legs[1]!, false)).toBe(false);
    expect(rig.set.waitingSinceMs).toBe(0);
    expect(rig.data(0, 1)).toEqual([1, 2, 3]);
    expect(rig.set.heldBytes).toBe(0);
  });

  test('that leaves with what nobody else can bring has lost it', () => {
    const rig = new Rig([100, 200, 300]);
    rig.data(0, 1);
    // 2 is on its way on the first leg, and 3 comes on the second; the third may bring 2, for all that is known.
    rig.set.onSwitch(rig.legs[1]!, 2);
    rig.data(1, 3);
    expect(rig.set.hasLost).toBe(false);
    expect(rig.set.leave(rig.legs[0]!, false)).toBe(false);
    expect(rig.set.hasLost).toBe(false);
    rig.set.onSwitch(rig.legs[2]!, 3);
    rig.data(2, 4);
    expect(rig.set.hasLost).toBe(true);
  });

  test('that leaves what it brought has lost nothing', () => {
    const rig = new Rig([100, 200]);
    rig.data(0, 1);
    rig.set.onSwitch(rig.legs[1]!, 1);
    rig.data(1, 2);
    expect(rig.set.leave(rig.legs[0]!, false)).toBe(false);
    expect(rig.set.hasLost).toBe(false);
    expect(rig.data(1, 3)).toEqual([3]);
    rig.set.close(DestroyReason.FINISHED);
    expect(rig.set.hasLost).toBe(false);
  });

  test('leaves once', () => {
    const rig = new Rig([100, 200]);
    expect(rig.set.leave(rig.legs[1]!, false)).toBe(false);
    expect(rig.set.leave(rig.legs[1]!, true)).toBe(false);
  });
});

describe('a set that closes', () => {
  test('ends every leg once, forgets what waits, and takes nothing more', () => {
    const rig = new Rig([100, 200]);
    rig.set.onSwitch(rig.legs[1]!, 5);
    rig.data(1, 1);
    rig.set.close(DestroyReason.FINISHED);
    rig.set.close(DestroyReason.PROTOCOL);
    expect(rig.ports.map(({ closedFor }) => closedFor)).toEqual([
      DestroyReason.FINISHED,
      DestroyReason.FINISHED,
    ]);
    expect(rig.closings).toBe(1);
    expect([rig.set.heldBytes, rig.held]).toEqual([0, 0]);
    expect(rig.set.room()).toBe(0);
    expect(rig.set.next()).toBeNull();
  });
});

/** One direction of a set between two ends, each leg a pipe with a delay of its own that also changes. */
function play(seed: number): void {
  const prng = new Prng(seed);
  const legs = 2 + prng.below(3);
  const sender = new Rig([]);
  const receiver = new Rig([]);
  const pipes: (() => void)[][] = [];
  const got: number[] = [];
  let most = 0;
  for (let i = 0; i < legs; i++) {
    const leg = sender.join(1 + prng.below(1000));
    const there = receiver.join(1);
    const pipe: (() => void)[] = [];
    pipes.push(pipe);
    const port = leg.port as Port;
    port.free = 1 + prng.below(20);
    port.send = (command, streamId, data) => {
      const copy = data.slice();
      pipe.push(() => {
        if (command === RelayCommand.CONFLUX_SWITCH) {
          receiver.set.onSwitch(there, decodeConfluxSwitch(copy));
          return;
        }
        if (command === RelayCommand.DATA) port.free++;
        if (!receiver.set.receive(there, command, streamId, copy, 0, NO_LIMIT)) return;
        got.push(streamId);
        for (let next = receiver.set.next(); next !== null; next = receiver.set.next())
          got.push(next.streamId);
      });
      if (command === RelayCommand.DATA) port.free--;
      return true;
    };
  }
  const count = 200 + prng.below(300);
  let said = 0;
  while (got.length < count) {
    if (said < count && prng.below(2) === 0) {
      // Now and then something that needs no window.
      const isData = prng.below(5) > 0;
      if (!isData || sender.set.room() > 0) {
        sender.set.send(isData ? RelayCommand.DATA : RelayCommand.XON, said++, NOTHING);
      }
    }
    prng.pick(pipes).shift()?.();
    if (prng.below(20) === 0) prng.pick(sender.legs).rttUs = 1 + prng.below(1000);
    most = Math.max(most, receiver.set.heldBytes);
  }
  expect(got).toEqual(Array.from({ length: count }, (_, i) => i));
  expect(receiver.set.heldBytes).toBe(0);
  expect(sender.set.switches).toBeGreaterThan(0);
  expect(most).toBeGreaterThan(0);
}

describe('random delays', () => {
  test('change nothing of what is handed on: all of it, once, in order', () => {
    for (let seed = 1; seed <= 200; seed++) play(seed);
  });
});
