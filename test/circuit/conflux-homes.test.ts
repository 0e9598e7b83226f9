/** Sets at home: what ends them, and what they hold. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { encodeConfluxSwitch } from '../../src/cell/conflux.ts';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { type LegPort, WAITING_BYTES } from '../../src/circuit/conflux.ts';
import { ARRIVED_MS } from '../../src/circuit/conflux-homes.ts';
import { Malformed } from '../../src/fault.ts';
import { Memory } from '../../src/shm/memory-ledger.ts';
import { type ClientLeg, type ConfluxClient, ConfluxRig } from './conflux-rig.ts';

const NOTHING = new Uint8Array(0);

describe('what closes a set', () => {
  const LEGS = [0, 1] as const;

  test.each(LEGS)('a sequence number that came before, on worker %d', (worker) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    const first = client.join(0);
    const second = client.join(worker);
    client.say(3);
    rig.settle();
    // No SWITCH, so this is number 1 again.
    second.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect([first.destroyed, second.destroyed]).toEqual([DestroyReason.INTERNAL, DestroyReason.INTERNAL]);
    expect(rig.count('conflux_sequence_back')).toBe(1);
    rig.expectNothing();
  });

  test.each(LEGS)('a SWITCH that is cut short, on worker %d', (worker) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    const first = client.join(0);
    const second = client.join(worker);
    second.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, Uint8Array.of(0, 0, 1));
    rig.settle();
    expect([first.destroyed, second.destroyed]).toEqual([DestroyReason.PROTOCOL, DestroyReason.PROTOCOL]);
    expect(rig.count('circuit_relay_malformed')).toBe(1);
    rig.expectNothing();
  });

  test.each(LEGS)('more that waits than may, on worker %d', (worker) => {
    const rig = new ConfluxRig({ confluxHeldBytesMax: 5000 });
    const client = rig.client();
    const first = client.join(0);
    const second = client.join(worker);
    second.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    for (let i = 0; i < 20; i++) second.circuit.say(RelayCommand.DATA, 1, new Uint8Array(498));
    rig.settle();
    expect([first.destroyed, second.destroyed]).toEqual([
      DestroyReason.RESOURCELIMIT,
      DestroyReason.RESOURCELIMIT,
    ]);
    expect(rig.count('conflux_queue_full')).toBe(1);
    expect(rig.count('conflux_reordered')).toBe(9);
    rig.expectNothing();
  });

  test('what a stream throws, also for a message that waited', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const second = client.join(1);
    rig.edges[0]!.onCame = ({ streamId }) => {
      if (streamId === 9) throw new Malformed('stream', 'bad');
    };
    second.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    second.circuit.say(RelayCommand.DATA, 9, NOTHING);
    second.circuit.say(RelayCommand.DATA, 8, NOTHING);
    rig.settle();
    client.legs[0]!.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(client.legs.map(({ destroyed }) => destroyed)).toEqual([1, 1]);
    expect(rig.edges[0]!.closedSets[0]!.came.map(({ streamId }) => streamId)).toEqual([1, 9]);
    rig.expectNothing();
  });
});

test.each([
  [0, false],
  [1, true],
])(
  'a leg elsewhere that ends with %d messages of the home still on their way there: the set ends: %p',
  (lost, ends) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    client.join(1);
    const { homes } = rig.plane(0).conflux;
    const { set } = [...homes.sets][0]!;
    const [local, remote] = set.legs;
    // Over the other worker's leg first, then over ours.
    for (const [here, there] of [
      [2, 1],
      [1, 2],
    ] as const) {
      [local!.rttUs, remote!.rttUs] = [here, there];
      rig.download(0, 3);
    }
    rig.world.pass(ARRIVED_MS + 200);
    const { token, sent } = remote!.port as LegPort & { readonly token: number; readonly sent: number };
    expect(sent).toBe(3);
    homes.onGone(1, token, false, sent - lost);
    expect(set.closed).toBe(ends);
    expect(rig.count('conflux_sets_torn')).toBe(ends ? 1 : 0);
  },
);

describe('a leg that ends when another sends by now', () => {
  function endFromClient(rig: ConfluxRig, { circuit }: ClientLeg): void {
    circuit.peer.send(circuit.circId, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
  }

  /** Two legs of a set at home on worker 0; the second, which sent the first messages, ends after a while. */
  function endAfter(worker: number, ms: number, say: (rig: ConfluxRig) => void) {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const second = client.join(worker);
    const { set } = [...rig.plane(0).conflux.homes.sets][0]!;
    const [first, other] = set.legs;
    [first!.rttUs, other!.rttUs] = [2, 1];
    say(rig);
    [first!.rttUs, other!.rttUs] = [1, 2];
    rig.download(0, 1);
    rig.world.pass(ms);
    endFromClient(rig, second);
    return { rig, client, set };
  }

  const WORKERS = [0, 1] as const;
  const say3 = (rig: ConfluxRig) => rig.download(0, 3);
  const sayEnd = (rig: ConfluxRig) => {
    [...rig.plane(0).conflux.homes.sets][0]!.set.send(RelayCommand.END, 1, Uint8Array.of(EndReason.DONE));
    rig.settle();
  };

  test.each(WORKERS)('takes the set along that may wait for what it sent, on worker %d', (worker) => {
    for (const say of [say3, sayEnd]) {
      const { rig, client, set } = endAfter(worker, ARRIVED_MS / 2, say);
      expect(set.closed).toBe(true);
      expect(client.legs[0]!.destroyed).toBe(DestroyReason.FINISHED);
      expect(rig.count('conflux_sets_torn')).toBe(1);
      rig.expectNothing();
    }
  });

  test.each(WORKERS)('takes nothing along once that has arrived, on worker %d', (worker) => {
    for (const say of [say3, sayEnd]) {
      const { rig, client, set } = endAfter(worker, ARRIVED_MS + 100, say);
      expect(set.closed).toBe(false);
      expect(client.legs[0]!.destroyed).toBe(-1);
      expect(rig.count('conflux_sets_torn')).toBe(0);
      rig.download(0, 2);
      expect(client.came.length).toBe(say === say3 ? 6 : 4);
    }
  });

  test.each(WORKERS)('takes the set along that waits for what it brought no more, on worker %d', (worker) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    const first = client.join(0);
    const second = client.join(worker);
    const { set } = [...rig.plane(0).conflux.homes.sets][0]!;
    first.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    first.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(set.closed).toBe(false);
    endFromClient(rig, second);
    expect(set.closed).toBe(true);
    expect(first.destroyed).toBe(DestroyReason.FINISHED);
    expect(rig.count('conflux_sets_torn')).toBe(1);
    rig.expectNothing();
  });

  test('takes the set along when what follows it comes later', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    const first = client.join(0);
    endFromClient(rig, client.join(1));
    expect(first.destroyed).toBe(-1);
    first.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    first.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(first.destroyed).toBe(DestroyReason.FINISHED);
    expect(rig.count('conflux_sets_torn')).toBe(1);
    rig.expectNothing();
  });
});

test('a leg elsewhere that ends before its home has answered is in no set', () => {
  const rig = new ConfluxRig();
  const client = rig.client(0);
  client.join(0);
  const second = client.open(1);
  const home = rig.relay.workers[0]!;
  home.stalled = true;
  second.link();
  rig.settle();
  rig.closeAt(second, DestroyReason.FINISHED);
  home.stalled = false;
  rig.settle();
  const { homes } = rig.plane(0).conflux;
  expect(rig.count('conflux_legs_linked')).toBe(1);
  expect([homes.remoteCount, [...homes.sets][0]!.set.legs.length]).toEqual([0, 1]);
});

describe('memory', () => {
  test('is counted exactly, and given back', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const second = client.join(1);
    second.circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    for (let i = 0; i < 5; i++) second.circuit.say(RelayCommand.DATA, 1, new Uint8Array(100));
    rig.settle();
    const { memory } = rig.relay;
    expect(memory.of(0, Memory.conflux)).toBe(5 * (WAITING_BYTES + 100));
    expect(memory.of(1, Memory.conflux)).toBe(0);
    client.legs[0]!.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(memory.of(0, Memory.conflux)).toBe(0);
  });

  test('that sets fill past a fifth of the limit costs the oldest', () => {
    const rig = new ConfluxRig({ maxMemInQueues: 600_000 });
    const clients = [rig.client(), rig.client(), rig.client()];
    for (const client of clients) {
      client.join(0);
      client.join(0).circuit.say(RelayCommand.CONFLUX_SWITCH, 0, encodeConfluxSwitch(1));
    }
    rig.settle();
    const before = rig.relay.memory.filled();
    const fill = (client: ConfluxClient, count: number) => {
      for (let i = 0; i < count; i++) client.legs[1]!.circuit.say(RelayCommand.DATA, 1, new Uint8Array(498));
      rig.settle();
      rig.world.pass(50);
    };
    fill(clients[0]!, 60);
    fill(clients[1]!, 60);
    fill(clients[2]!, Math.ceil((600_000 - before) / (WAITING_BYTES + 498)) - 100);
    rig.world.pass(500);
    expect(rig.count('conflux_memory_killed')).toBeGreaterThan(0);
    expect(clients[0]!.legs[1]!.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    expect(rig.relay.memory.filled()).toBeLessThan(600_000);
  });
});

test.each([0, 1])(
  'BEGIN_DIR on a leg of worker %d is answered with END, as C tor does, and numbered',
  (worker) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const leg = client.join(worker);
    leg.circuit.say(RelayCommand.BEGIN_DIR, 5, new Uint8Array(0));
    rig.settle();
    expect(client.came).toEqual([
      { command: RelayCommand.END, streamId: 5, data: Uint8Array.of(EndReason.NOTDIRECTORY) },
    ]);
    expect(leg.destroyed).toBe(-1);
    expect(rig.count('conflux_begin_dir_refused')).toBe(1);
    rig.download(0, 3);
    expect(client.came.length).toBe(4);
  },
);
