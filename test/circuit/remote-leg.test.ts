/** Legs to another worker: opening, passing cells, and every race between their two ends. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { encodeCreated2 } from '../../src/cell/create.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { NEXT } from '../../src/circuit/circuit-table.ts';
import { OWED_MAX } from '../../src/circuit/ring-port.ts';
import { SlotKind } from '../../src/shm/ring.ts';
import type { ClientCircuit } from '../sim/client.ts';
import { ClientCircuit as Circuit } from '../sim/client.ts';
import { Peer, PeerListener } from '../sim/peer.ts';
import { filled, ID, OUR_HOST, Rig, type RigOptions } from './rig.ts';

/** Two workers; the channel to the next hop lives on worker 1, the client on worker 0. */
class RemoteRig extends Rig {
  constructor(options: RigOptions = {}) {
    super({ workers: 2, ...options });
    const opener = Peer.connect(this.world, this.relay, { worker: 1 });
    const circuit = new Circuit(opener, ID);
    circuit.createFast();
    this.settle();
    circuit.createdFast(opener.expect(Command.CREATED_FAST));
    circuit.extend(this.next.hop);
    this.settle();
    opener.send(ID, Command.DESTROY, Uint8Array.of(0));
    this.settle();
    this.next.circuits.length = 0;
    expect(this.relay.workers[1]!.data.channels.count).toBe(2);
  }

  /** Turns of one worker only happen when asked for. */
  hold(worker: number): () => void {
    const held = this.relay.workers[worker]!;
    const { ready } = held;
    held.ready = () => false;
    return () => {
      held.ready = ready;
    };
  }

  /** A circuit whose OPEN_LEG is in the ring, or whose answer is, with worker 1 standing still. */
  openingWith(release: { again?: () => void }): ClientCircuit {
    const circuit = this.open();
    release.again = this.hold(1);
    circuit.extend(this.next.hop);
    this.settle();
    return circuit;
  }
}

describe('a remote leg', () => {
  test('carries a circuit both ways', () => {
    const rig = new RemoteRig();
    const circuit = rig.openTwo();
    expect(rig.rows()).toEqual({ owned: 1, transit: 1 });
    for (let i = 0; i < 20; i++) rig.expectPasses(circuit, rig.next.last);
    expect(rig.count('leg_opened')).toBe(1);
    expect(rig.count('cells_ring_received')).toBeGreaterThan(40);
    // Each once, though two workers have it in hand.
    expect(rig.count('cells_relayed')).toBe(40);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('carries many cells of several circuits at once, RELAY_EARLY and messages for us among them, in order', () => {
    const rig = new RemoteRig();
    const circuits = [ID, ID + 1, ID + 2].map((circId) => {
      const circuit = rig.openTwo(circId);
      return { circuit, end: rig.next.last };
    });
    const numbers = Array.from({ length: 90 }, (_, i) => i);
    for (const i of numbers) {
      for (const { circuit, end } of circuits) {
        const command = i === 40 ? Command.RELAY_EARLY : Command.RELAY;
        circuit.say(RelayCommand.DATA, 5, Uint8Array.of(i), { command });
        if (i === 60) circuit.say(RelayCommand.DROP, 0, new Uint8Array(0), { hop: 0 });
        end.say(RelayCommand.DATA, 5, Uint8Array.of(i));
      }
    }
    rig.settle();
    for (const { end } of circuits) expect(end.heard.map(({ data }) => data[0]!)).toEqual(numbers);
    const heard = new Map(circuits.map(({ circuit }) => [circuit.circId, [] as number[]]));
    for (let i = 0; i < 3 * numbers.length; i++) {
      const cell = rig.client.take();
      const { circuit } = circuits.find((each) => each.circuit.circId === cell.circId)!;
      heard.get(cell.circId)!.push(circuit.hear(cell).data[0]!);
    }
    for (const list of heard.values()) expect(list).toEqual(numbers);
    expect(rig.count('cells_relayed')).toBe(2 * 3 * numbers.length);
  });

  test('waits for a dial of the other worker', () => {
    const rig = new Rig({ workers: 2 });
    const other = Peer.connect(rig.world, rig.relay, { worker: 1 });
    const first = new Circuit(other, ID);
    first.createFast();
    rig.settle();
    first.createdFast(other.expect(Command.CREATED_FAST));
    const circuit = rig.open();
    first.extend(rig.next.hop);
    while (rig.count('links_dialled') === 0) rig.world.step();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.extended(circuit);
    expect(rig.count('links_dialled')).toBe(1);
    expect(rig.count('leg_opened')).toBe(1);
  });

  test('of which the dial fails is destroyed with 8', () => {
    const rig = new Rig({ workers: 2 });
    const other = Peer.connect(rig.world, rig.relay, { worker: 1 });
    const first = new Circuit(other, ID);
    first.createFast();
    rig.settle();
    first.createdFast(other.expect(Command.CREATED_FAST));
    const circuit = rig.open();
    const mute = new PeerListener(rig.world, Uint8Array.of(198, 51, 100, 7), { mute: true });
    const hop = { ...rig.next.hop, ...mute.identity, host: mute.host };
    first.extend(hop);
    rig.settle();
    circuit.extend(hop);
    rig.settle();
    expect(rig.rows()).toEqual({ owned: 2, transit: 1 });
    mute.last.wire.reset();
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('links_dialled')).toBe(1);
    rig.expectEmpty();
  });

  test('is destroyed from the client as 11', () => {
    const rig = new RemoteRig();
    rig.openTwo();
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(DestroyReason.REQUESTED));
    rig.settle();
    expect(rig.next.last.destroyed).toBe(DestroyReason.DESTROYED);
    expect(rig.count('leg_destroyed')).toBe(1);
    rig.expectEmpty();
  });

  test('is destroyed from the next hop as 11', () => {
    const rig = new RemoteRig();
    rig.openTwo();
    const { peer, circId } = rig.next.last;
    peer.send(circId, Command.DESTROY, Uint8Array.of(DestroyReason.REQUESTED));
    rig.settle();
    rig.expectDestroyed(DestroyReason.DESTROYED);
    rig.expectEmpty();
  });

  test('dies with the far channel as 8, and with the near one as 8', () => {
    const far = new RemoteRig();
    far.openTwo();
    far.next.last.peer.wire.reset();
    far.settle();
    far.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    far.expectEmpty();
    const near = new RemoteRig();
    near.openTwo();
    near.client.wire.reset();
    near.settle();
    expect(near.next.last.destroyed).toBe(DestroyReason.CHANNEL_CLOSED);
    near.expectEmpty();
  });

  test('is cut by TRUNCATE with its reason, and opened anew', () => {
    const rig = new RemoteRig();
    const circuit = rig.openTwo();
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(5), { hop: 0 });
    rig.settle();
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    expect(rig.next.last.destroyed).toBe(5);
    circuit.layers.pop();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.extended(circuit);
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.rows()).toEqual({ owned: 1, transit: 1 });
  });

  test('passes a second CREATED2, and a RELAY before the first', () => {
    const rig = new RemoteRig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    const { peer, cell } = rig.next.held[0]!;
    peer.send(cell.circId, Command.RELAY, filled(509, 9));
    rig.settle();
    expect(rig.heard(circuit).hop).toBe(-1);
    rig.next.answer(peer, cell);
    peer.send(cell.circId, Command.CREATED2, encodeCreated2(filled(64, 2)));
    rig.settle();
    rig.extended(circuit);
    expect(rig.heard(circuit).command).toBe(RelayCommand.EXTENDED2);
  });

  test('whose next hop answers nonsense dies at both ends', () => {
    const rig = new RemoteRig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    const { peer, cell } = rig.next.held[0]!;
    peer.send(cell.circId, Command.CREATED2, Uint8Array.of(2, 0));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.strayDestroys).toEqual([DestroyReason.PROTOCOL]);
    expect(rig.count('extend_created_malformed')).toBe(1);
    rig.expectEmpty();
  });

  test('refuses a RELAY_EARLY backward at its owner', () => {
    const rig = new RemoteRig();
    rig.openTwo();
    rig.next.last.say(RelayCommand.DATA, 1, filled(4, 4), Command.RELAY_EARLY);
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_relay_early_backward')).toBe(1);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    rig.expectEmpty();
  });

  test('times out at its owner, and the far end is told', () => {
    const rig = new RemoteRig({ options: { extendTimeoutMs: 3000 } });
    rig.next.holdCreates = true;
    rig.open().extend(rig.next.hop);
    rig.world.pass(3200);
    rig.expectDestroyed(DestroyReason.FINISHED);
    expect(rig.next.strayDestroys).toEqual([DestroyReason.FINISHED]);
    rig.expectEmpty();
  });
});

describe('races', () => {
  test('TRUNCATE while OPEN_LEG is in the ring', () => {
    const rig = new RemoteRig();
    const release: { again?: () => void } = {};
    const circuit = rig.openingWith(release);
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    rig.settle();
    release.again!();
    rig.settle();
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    expect(rig.client.cells).toEqual([]);
    expect(rig.rows()).toEqual({ owned: 1, transit: 0 });
    expect(rig.next.last.destroyed).toBe(DestroyReason.DESTROYED);
    rig.expectAlive(circuit);
  });

  test('DESTROY from the client before LEG_READY', () => {
    const rig = new RemoteRig();
    const release: { again?: () => void } = {};
    rig.openingWith(release);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    release.again!();
    rig.settle();
    rig.expectEmpty();
    expect(rig.client.cells).toEqual([]);
    expect(rig.next.last.destroyed).toBe(DestroyReason.DESTROYED);
  });

  test('a new circuit in the same row does not get what was meant for the old one', () => {
    const rig = new RemoteRig();
    const release: { again?: () => void } = {};
    rig.openingWith(release);
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    const second = rig.open(ID + 1);
    second.extend(rig.next.hop);
    rig.settle();
    release.again!();
    rig.settle();
    rig.extended(second);
    rig.expectPasses(second, rig.next.last);
    expect(rig.rows()).toEqual({ owned: 1, transit: 1 });
  });

  test('re-extend after TRUNCATE, with the answers to the first still to come', () => {
    const rig = new RemoteRig();
    const release: { again?: () => void } = {};
    const circuit = rig.openingWith(release);
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    circuit.extend(rig.next.hop);
    rig.settle();
    release.again!();
    rig.settle();
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    rig.extended(circuit);
    expect(rig.client.cells).toEqual([]);
    expect(rig.next.circuits.map(({ destroyed }) => destroyed)).toEqual([DestroyReason.DESTROYED, -1]);
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.rows()).toEqual({ owned: 1, transit: 1 });
  });

  test('cells and answers of a hop that was cut off never reach the client', () => {
    const rig = new RemoteRig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    // The answer and a cell lie in the ring while the TRUNCATE is taken.
    const release = rig.hold(0);
    const end = rig.next.answer(rig.next.held[0]!.peer, rig.next.held[0]!.cell);
    end.say(RelayCommand.DATA, 1, filled(8, 8));
    rig.settle();
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    rig.settle();
    release();
    rig.settle();
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    expect(rig.client.cells).toEqual([]);
    expect(rig.count('leg_stale_slot')).toBe(2);
    expect(end.destroyed).toBe(1);
    rig.expectAlive(circuit);
  });

  test('both ends destroy at once', () => {
    const rig = new RemoteRig();
    rig.openTwo();
    const { peer, circId } = rig.next.last;
    const release = [rig.hold(0), rig.hold(1)];
    peer.send(circId, Command.DESTROY, Uint8Array.of(0));
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    for (const again of release) again();
    rig.settle();
    rig.expectEmpty();
    expect(rig.client.cells).toEqual([]);
  });

  test('the far channel dies while OPEN_LEG is in the ring', () => {
    const rig = new RemoteRig();
    const release: { again?: () => void } = {};
    rig.openingWith(release);
    rig.next.peers[0]!.wire.reset();
    rig.settle();
    release.again!();
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    rig.expectEmpty();
  });

  test('a worker dies at each stage of a leg', () => {
    for (let stage = 0; stage < 5; stage++) {
      const rig = new RemoteRig();
      const bystander = rig.open(ID + 9);
      const circuit = rig.open();
      rig.next.holdCreates = stage < 4;
      if (stage === 0) rig.hold(1);
      const release = stage === 1 ? rig.hold(0) : () => {};
      circuit.extend(rig.next.hop);
      if (stage < 2) rig.settle();
      else if (stage === 2) while (rig.count('leg_opened') === 0) rig.world.step();
      else rig.settle();
      if (stage === 4) rig.extended(circuit);
      rig.relay.kill(1);
      release();
      rig.settle();
      rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
      expect(rig.count('leg_worker_died')).toBe(1);
      expect(rig.plane.ports[1]).toBe(null);
      rig.expectAlive(bystander);
      // The others go on without it: a new dial, by us.
      rig.next.holdCreates = false;
      bystander.extend(rig.next.hop);
      rig.settle();
      rig.extended(bystander);
      rig.expectPasses(bystander, rig.next.last);
    }
  });

  test('an extend to a channel of a dead worker that the roster still lists is refused with 8', () => {
    const rig = new RemoteRig();
    const circuit = rig.open();
    rig.relay.workers[0]!.detach(1);
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('leg_refused')).toBe(1);
  });

  test('a successor with fresh rings serves new circuits', () => {
    const rig = new RemoteRig();
    rig.openTwo();
    rig.relay.workers[0]!.detach(1);
    rig.relay.workers[1]!.detach(0);
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.next.last.destroyed).toBe(DestroyReason.CHANNEL_CLOSED);
    rig.relay.join(0, 1, 16);
    const again = rig.openTwo(ID + 1);
    rig.expectPasses(again, rig.next.last);
  });
});

describe('a full ring', () => {
  test('owes control messages, keeps cells in order, pauses the reader and lets it go on', () => {
    const rig = new RemoteRig({ ringSlots: 8 });
    const circuit = rig.openTwo();
    const release = rig.hold(1);
    const sent: number[] = [];
    for (let i = 0; i < 40; i++) {
      circuit.say(RelayCommand.DATA, 1, Uint8Array.of(i));
      sent.push(i);
    }
    rig.settle();
    const port = rig.plane.ports[1]!;
    expect(port.congested).toBe(true);
    expect(rig.plane.parked.used).toBe(40 - 7);
    expect(rig.client.wire.other.paused).toBe(true);
    expect(rig.count('ring_full')).toBe(1);
    // Others open and end legs meanwhile: the control slot takes one, the rest is owed.
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    const circuits = [1, 2, 3].map((n) => new Circuit(other, ID + n));
    for (const one of circuits) one.createFast();
    rig.settle();
    for (const one of circuits) one.createdFast(other.expect(Command.CREATED_FAST, one.circId));
    for (const one of circuits) one.extend(rig.next.hop);
    rig.settle();
    expect(port.owedCount).toBe(2);
    release();
    rig.settle();
    for (const _ of circuits) {
      const cell = other.take();
      const one = circuits.find(({ circId }) => circId === cell.circId)!;
      const heard = one.hear(cell);
      expect(heard.command).toBe(RelayCommand.EXTENDED2);
      expect(one.finish(heard.data)).toBe(true);
    }
    expect(port.congested).toBe(false);
    expect(rig.client.wire.other.paused).toBe(false);
    const end = rig.next.circuits[0]!;
    expect(end.heard.map(({ data }) => data[0]!)).toEqual(sent);
    expect(rig.plane.parked.used).toBe(0);
  });

  test('opens no more legs when too many messages are owed', () => {
    const rig = new RemoteRig({ ringSlots: 8 });
    const release = rig.hold(1);
    const port = rig.plane.ports[1]!;
    for (let i = 0; i < 8 + OWED_MAX; i++) port.putControl(SlotKind.LEG_DESTROY, 0, 0, 0, 0, 0);
    expect(port.owedCount).toBe(OWED_MAX);
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
    expect(rig.count('leg_ring_full')).toBe(1);
    expect(port.owedCount).toBe(OWED_MAX);
    release();
    rig.settle();
    rig.expectPasses(rig.openTwo(ID + 1), rig.next.last);
  });

  test('backward pauses the next hop’s link only until there is room', () => {
    const rig = new RemoteRig({ ringSlots: 8 });
    const circuit = rig.openTwo();
    const end = rig.next.last;
    const release = rig.hold(0);
    for (let i = 0; i < 30; i++) end.say(RelayCommand.DATA, 1, Uint8Array.of(i));
    rig.settle();
    expect(end.peer.wire.other.paused).toBe(true);
    release();
    rig.settle();
    expect(end.peer.wire.other.paused).toBe(false);
    for (let i = 0; i < 30; i++) expect(rig.heard(circuit).data).toEqual(Uint8Array.of(i));
  });

  test('that stays full kills a circuit at its bound, and its DESTROY gets through', () => {
    const rig = new RemoteRig({ ringSlots: 8, options: { circQueueCellsMax: 50 } });
    const circuit = rig.openTwo();
    const release = rig.hold(1);
    const batch: Uint8Array[] = [];
    for (let i = 0; i < 7 + 50 + 1; i++) batch.push(circuit.cell(RelayCommand.DATA, 1, Uint8Array.of(i)));
    rig.client.sendBytes(new Uint8Array(Buffer.concat(batch)));
    rig.settle();
    rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
    expect(rig.count('circuit_queue_limit_killed')).toBe(1);
    expect(rig.plane.parked.used).toBe(0);
    release();
    rig.settle();
    expect(rig.next.last.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    expect(rig.next.last.heard.length).toBe(7);
    rig.expectEmpty();
    rig.expectAlive(rig.open());
  });

  test('of a dead worker lets paused readers go on', () => {
    const rig = new RemoteRig({ ringSlots: 8 });
    const circuit = rig.openTwo();
    rig.hold(1);
    for (let i = 0; i < 20; i++) circuit.say(RelayCommand.DATA, 1, Uint8Array.of(i));
    rig.settle();
    expect(rig.client.wire.other.paused).toBe(true);
    rig.relay.kill(1);
    rig.settle();
    expect(rig.client.wire.other.paused).toBe(false);
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.plane.parked.used).toBe(0);
  });

  test('wraps its attempt numbers without mistaking one circuit’s for another’s', () => {
    const rig = new RemoteRig({ options: { allowNonearlyExtend: true } });
    const circuit = rig.open();
    for (let i = 0; i < 300; i++) {
      circuit.extend(rig.next.hop, { command: Command.RELAY });
      circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    }
    circuit.extend(rig.next.hop, { command: Command.RELAY });
    rig.settle();
    for (let i = 0; i < 300; i++) expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    rig.extended(circuit);
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.rows()).toEqual({ owned: 1, transit: 1 });
    const { table } = rig.plane;
    expect(table.attempt[table.find(rig.plane.channels.bySlot[0]!.slot, ID) >> 1]).toBe(601);
    expect(NEXT).toBe(1);
    expect(OUR_HOST.length).toBe(4);
  });
});
