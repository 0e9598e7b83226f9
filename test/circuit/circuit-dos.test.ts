/** Circuits of clients that ask for too many, or fill queues outward, over one worker and two. */

import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { DosLimits } from '../../src/shm/dos-table.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { ClientCircuit } from '../sim/client.ts';
import { Peer } from '../sim/peer.ts';
import { filled, ID, Rig } from './rig.ts';

const HOST = Uint8Array.of(203, 0, 113, 66);
const STRICT: DosLimits = { ...DOS_LIMITS, circuitConnectionsMin: 3, circuitRate: 1, circuitBurst: 10 };

function connect(
  rig: Rig,
  host: Uint8Array,
  worker = 0,
  identity?: { rsaId: Uint8Array; ed25519Id: Uint8Array },
) {
  const peer = Peer.connect(rig.world, rig.relay, {
    worker,
    from: { host, port: 1 },
    ...(identity === undefined ? {} : { identity }),
  });
  rig.settle();
  return peer;
}

/** Ask for so many circuits, each after the other; how many were made. */
function ask(rig: Rig, peer: Peer, times: number, firstId = ID): number {
  let made = 0;
  for (let i = 0; i < times; i++) {
    new ClientCircuit(peer, firstId + i).createFast();
    rig.settle();
    const cell = peer.take();
    if (cell.command === Command.CREATED_FAST) made++;
    else expect([cell.command, cell.bytes[5]]).toEqual([Command.DESTROY, DestroyReason.RESOURCELIMIT]);
  }
  return made;
}

describe('circuits', () => {
  test('past the burst are refused to an address with links enough, on all its links and both workers', () => {
    const rig = new Rig({ workers: 2, options: { dos: STRICT } });
    const peers = [0, 1, 0].map((worker) => connect(rig, HOST, worker));
    const other = connect(rig, Uint8Array.of(203, 0, 113, 67));
    expect(ask(rig, peers[0]!, 6)).toBe(6);
    expect(ask(rig, peers[1]!, 6)).toBe(3);
    expect(ask(rig, peers[2]!, 3)).toBe(0);
    expect([rig.count('dos_circuit_marks'), rig.count('dos_circuit_refused')]).toEqual([1, 6]);
    // What there is goes on, others are served, and a refused CREATE2 costs no handshake.
    expect(rig.count('circuits_closed')).toBe(0);
    expect(ask(rig, other, 20)).toBe(20);
    const circuit = new ClientCircuit(peers[0]!, ID + 50);
    circuit.create(rig.own);
    rig.settle();
    expect(peers[0]!.take().command).toBe(Command.DESTROY);
    expect([rig.plane.onionQueue.length, rig.count('ntor_processed')]).toEqual([0, 0]);
  });

  test('are made again when the mark is over', () => {
    const rig = new Rig({ options: { dos: { ...STRICT, circuitMarkMs: 10_000 } } });
    const [peer] = [0, 0, 0].map(() => connect(rig, HOST));
    expect(ask(rig, peer!, 12)).toBe(9);
    rig.world.pass(16_000);
    expect(ask(rig, peer!, 5, ID + 20)).toBe(5);
  });

  test('of an address with few links are not judged, nor those of listed relays, nor any while it is off', () => {
    const few = new Rig({ options: { dos: STRICT } });
    const peer = connect(few, HOST);
    connect(few, HOST);
    expect(ask(few, peer, 30)).toBe(30);
    const identity = { rsaId: filled(20, 3), ed25519Id: filled(32, 3) };
    const relayIndex = new RelayIndex(RelayIndex.create([{ rsaId: identity.rsaId, ipv4: null, ipv6: null }]));
    const relays = new Rig({ options: { dos: STRICT }, relayIndex });
    const [relay] = [0, 0, 0].map(() => connect(relays, HOST, 0, identity));
    for (let i = 0; i < 3; i++) connect(relays, HOST);
    expect(ask(relays, relay!, 30)).toBe(30);
    const off = new Rig({ options: { dos: { ...STRICT, circuitsWatched: false } } });
    const [first] = [0, 0, 0].map(() => connect(off, HOST));
    expect(ask(off, first!, 30)).toBe(30);
    // Marks without refusals: DefenseType 1.
    const mild = new Rig({ options: { dos: { ...STRICT, circuitsRefused: false } } });
    const [second] = [0, 0, 0].map(() => connect(mild, HOST));
    expect(ask(mild, second!, 30)).toBe(30);
    expect([mild.count('dos_circuit_marks'), mild.count('dos_circuit_refused')]).toEqual([1, 0]);
  });

  test('of many addresses of one /64 are those of one', () => {
    const rig = new Rig({ options: { dos: STRICT } });
    const peers = Array.from({ length: 12 }, (_, i) =>
      connect(rig, Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i)),
    );
    let made = 0;
    for (const [i, peer] of peers.entries()) made += ask(rig, peer, 5, ID + i * 10);
    // Four times the burst of an address.
    expect(made).toBe(39);
    expect(rig.count('dos_circuit_refused')).toBe(21);
  });

  test('that are refused to one address are not counted against its neighbours', () => {
    const rig = new Rig({ options: { dos: STRICT } });
    const at = (rest: number): Uint8Array =>
      Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, rest);
    const bad = Array.from({ length: 12 }, () => connect(rig, at(66)));
    expect(ask(rig, bad[0]!, 100)).toBe(9);
    const neighbour = connect(rig, at(1));
    expect(ask(rig, neighbour, 5)).toBe(5);
    expect(rig.count('dos_circuit_marks')).toBe(1);
  });
});

describe('queues outward that are full', () => {
  const LIMITS = { circQueueCellsMax: 100, circQueueCellsMaxOut: 5, dos: { ...STRICT, queueKillsMax: 2 } };

  function extended(rig: Rig, peer: Peer, circId: number): ClientCircuit {
    const circuit = new ClientCircuit(peer, circId);
    circuit.createFast();
    rig.settle();
    circuit.createdFast(peer.expect(Command.CREATED_FAST, circId));
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.extended(circuit);
    return circuit;
  }

  /** A circuit of `peer` through us, whose next hop takes nothing, until it dies. */
  function fill(rig: Rig, peer: Peer, circId: number): void {
    const circuit = extended(rig, peer, circId);
    const { wire } = rig.next.last.peer;
    wire.stalled = true;
    for (let i = 0; i < 60 && peer.cells.length === 0; i++) {
      const batch = Array.from({ length: 100 }, () => circuit.cell(RelayCommand.DATA, 1, new Uint8Array(1)));
      peer.sendBytes(new Uint8Array(Buffer.concat(batch)));
      rig.settle();
    }
    const cell = peer.take();
    expect([cell.command, cell.bytes[5]]).toEqual([Command.DESTROY, DestroyReason.RESOURCELIMIT]);
    wire.stalled = false;
    rig.settle();
  }

  for (const nextWorker of [0, 1]) {
    test(`mark the client that keeps doing it, next hop on worker ${nextWorker}`, () => {
      const rig = new Rig({ workers: 2, options: LIMITS });
      const opener = connect(rig, Uint8Array.of(203, 0, 113, 68), nextWorker);
      extended(rig, opener, ID);
      const peer = connect(rig, HOST);
      expect(rig.relay.workers[nextWorker]!.data.channels.bySlot.some((one) => one?.initiated)).toBe(true);
      fill(rig, peer, ID);
      expect(rig.count('dos_queue_marks')).toBe(0);
      fill(rig, peer, ID + 1);
      expect(rig.count('dos_queue_marks')).toBe(1);
      expect(rig.count('circuit_queue_limit_killed_out')).toBe(2);
      expect(rig.count('circuit_queue_limit_killed')).toBe(2);
      expect(rig.rows().transit).toBe(0);
      expect(ask(rig, peer, 2, ID + 10)).toBe(0);
      expect(ask(rig, rig.client, 2, ID + 10)).toBe(2);
    });
  }
});
