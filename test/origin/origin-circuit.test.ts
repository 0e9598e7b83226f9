/** Circuits that we start: built through our own relay and a played last hop, and everything that ends them. */
import { describe, expect, test } from 'bun:test';
import { BODY_AT, buildCell } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { encodeCreated2 } from '../../src/cell/create.ts';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand, writeRelayMessage } from '../../src/cell/relay-message.ts';
import { OWNED } from '../../src/circuit/circuit-table.ts';
import { originate } from '../../src/circuit/originate.ts';
import { CircuitLog, OriginRig, StreamLog } from './rig.ts';

const NOTHING = new Uint8Array(0);

describe('building', () => {
  test.each([
    ['CREATE_FAST', { onionKey: null }],
    ['ntor', { ntorV3: false }],
    ['ntor-v3', {}],
  ])('one hop by %s', (_name, changed) => {
    const rig = new OriginRig();
    const { circuit, log } = rig.open([rig.middleHop(changed)]);
    expect(log).toMatchObject({ opened: 1, closed: [] });
    expect(circuit.hops).toBe(1);
    expect(rig.count('origin_circuits_built')).toBe(1);
    expect(rig.middle.count('circuits_created')).toBe(1);
    circuit.close();
    rig.settle();
    rig.expectEmpty();
    expect(rig.middle.count('circuits_closed')).toBe(1);
    // Who closes it knows.
    expect(log.closed).toEqual([]);
  });

  test.each([1, 2, 3])('over the ring when the link is on another worker, %p workers', (workers) => {
    const rig = new OriginRig({ workers });
    for (const changed of [{ onionKey: null }, {}]) {
      for (let worker = 0; worker < workers; worker++) {
        const { circuit, log } = rig.open([rig.middleHop(changed)], worker);
        expect(log).toMatchObject({ opened: 1, closed: [] });
        const stream = new StreamLog();
        circuit.connectDirectory(stream);
        rig.settle();
        // The middle is no directory, and says so.
        expect(stream.ended).toEqual([EndReason.NOTDIRECTORY]);
        circuit.close();
        rig.settle();
      }
    }
    expect(rig.count('links_dialled')).toBe(1);
    rig.expectEmpty();
  });

  test('two hops, in RELAY_EARLY, and both ends understand each other', () => {
    const rig = new OriginRig();
    const { circuit, far } = rig.openTwo();
    expect(circuit.hops).toBe(2);
    expect(rig.middle.count('extend_succeeded')).toBe(1);
    expect(far.unrecognised).toBe(0);
    expect(rig.originRows()).toBe(1);
  });

  test('nobody at the address: closed at once, and nothing is left', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.middleHop({ ipv4: { host: Uint8Array.of(198, 51, 100, 77), port: 9 } })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.CHANNEL_CLOSED, hops: 0 }]);
    expect(rig.count('extend_dial_failed')).toBe(1);
    rig.expectEmpty();
  });

  test('no address at all', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.middleHop({ ipv4: null })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.INTERNAL, hops: 0 }]);
    rig.expectEmpty();
  });

  test('a hop with another onion key fails the handshake', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.middleHop({ ntorV3: false, onionKey: rig.end.hop.onionKey })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 0 }]);
    expect(rig.count('origin_handshake_failed')).toBe(1);
    rig.expectEmpty();
  });

  test('a second hop with another onion key: the first one is told to let go', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.middleHop(), rig.endHop({ onionKey: rig.middleHop().onionKey })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 1 }]);
    expect(rig.middle.count('circuits_closed')).toBe(1);
    rig.expectEmpty();
  });

  test('a hop behind the first without an onion key cannot be asked', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.middleHop(), rig.endHop({ onionKey: null })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.INTERNAL, hops: 1 }]);
    rig.expectEmpty();
  });

  test('a mute hop: given up at the deadline', () => {
    const rig = new OriginRig();
    rig.end.holdCreates = true;
    const { log } = rig.open([rig.middleHop(), rig.endHop()]);
    rig.world.pass(59_000, 1000);
    expect(log.closed).toEqual([]);
    rig.world.pass(2000, 500);
    expect(log.closed).toEqual([{ reason: DestroyReason.TIMEOUT, hops: 1 }]);
    expect(rig.count('origin_circuit_timeout')).toBe(1);
    rig.expectEmpty();
  });

  test('the second hop cannot be reached: the first one says why', () => {
    const rig = new OriginRig();
    const nobody = { host: Uint8Array.of(198, 51, 100, 77), port: 9 };
    const { log } = rig.open([rig.middleHop(), rig.endHop({ ipv4: nobody })]);
    expect(log.closed).toEqual([{ reason: DestroyReason.CHANNEL_CLOSED, hops: 1 }]);
    rig.expectEmpty();
  });
});

describe('what a hop may not do', () => {
  test('a malformed CREATED2', () => {
    const rig = new OriginRig();
    rig.end.holdCreates = true;
    const log = new CircuitLog();
    rig.origins().open([rig.endHop()], 60_000, log);
    rig.settle();
    const { peer, cell } = rig.end.held[0]!;
    peer.send(cell.circId, Command.CREATED2, Uint8Array.of(0xff, 0xff));
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 0 }]);
    expect(rig.count('origin_message_malformed')).toBe(1);
    rig.expectEmpty();
  });

  test('CREATED_FAST for a CREATE2 is passed over', () => {
    const rig = new OriginRig();
    rig.end.holdCreates = true;
    const log = new CircuitLog();
    rig.origins().open([rig.endHop()], 60_000, log);
    rig.settle();
    const { peer, cell } = rig.end.held[0]!;
    peer.send(cell.circId, Command.CREATED_FAST, new Uint8Array(40));
    rig.settle();
    expect(log.closed).toEqual([]);
    expect(rig.count('extend_created_unexpected')).toBe(1);
    rig.end.answer(peer, cell);
    rig.settle();
    expect(log.opened).toBe(1);
  });

  test('a second CREATED2 ends the circuit', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.endHop()]);
    const { peer, circId } = rig.end.last;
    peer.send(circId, Command.CREATED2, encodeCreated2(new Uint8Array(64)));
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 1 }]);
    expect(rig.count('origin_message_malformed')).toBe(1);
    rig.expectEmpty();
  });

  test('a cell that no hop sealed', () => {
    const rig = new OriginRig();
    const { log } = rig.openTwo();
    const { peer, circId } = rig.end.last;
    peer.sendBytes(buildCell(circId, Command.RELAY, new Uint8Array(509).fill(9)));
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 2 }]);
    expect(rig.count('origin_cell_unrecognised')).toBe(1);
    rig.expectEmpty();
  });

  test('RELAY_EARLY towards us', () => {
    const rig = new OriginRig();
    const { log } = rig.open([rig.endHop()]);
    rig.end.last.say(RelayCommand.DROP, 0, NOTHING, Command.RELAY_EARLY);
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 1 }]);
    expect(rig.count('circuit_relay_early_backward')).toBe(1);
    rig.expectEmpty();
  });

  test.each([
    ['origin_cell_unexpected', RelayCommand.EXTENDED2, 0, NOTHING],
    ['origin_stream_unknown', RelayCommand.DATA, 77, Uint8Array.of(1)],
    ['origin_stream_unknown', RelayCommand.END, 0, Uint8Array.of(6)],
    ['circuit_unexpected_sendme', RelayCommand.SENDME, 0, NOTHING],
  ] as const)('%s: closed', (counter, command, streamId, data) => {
    const rig = new OriginRig();
    const { log, far } = rig.openTwo();
    far.say(command, streamId, data);
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 2 }]);
    expect(rig.count(counter)).toBe(1);
    rig.expectEmpty();
  });

  test('a message that states more data than fits', () => {
    const rig = new OriginRig();
    const { log, far } = rig.openTwo();
    const cell = buildCell(far.circId, Command.RELAY, NOTHING);
    writeRelayMessage(cell, BODY_AT, RelayCommand.DROP, 0, NOTHING);
    cell[BODY_AT + 9] = 2;
    far.layer.originateBackward(cell, BODY_AT);
    far.peer.sendBytes(cell);
    rig.settle();
    expect(log.closed.length).toBe(1);
    expect(rig.count('origin_message_malformed')).toBe(1);
  });

  test('a stream message before the circuit is open, and from a hop that is not the last', () => {
    const rig = new OriginRig();
    const early = rig.open([rig.endHop(), rig.middleHop()]);
    // Only the first hop is there: it does not extend.
    expect(early.log.opened).toBe(0);
    rig.end.last.say(RelayCommand.DATA, 1, Uint8Array.of(1));
    rig.settle();
    expect(rig.count('origin_cell_unexpected')).toBe(1);
    expect(early.log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 1 }]);
    rig.expectEmpty();
  });

  test('a message of a hop before the last', () => {
    const rig = new OriginRig();
    const { log } = rig.openTwo();
    const { plane } = rig.middle.workers[0]!.data;
    const row = plane.table.kind.indexOf(OWNED);
    originate(plane, row, RelayCommand.DATA, 1, Uint8Array.of(1));
    rig.middle.workers[0]!.wake();
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.PROTOCOL, hops: 2 }]);
    expect(rig.count('origin_cell_wrong_hop')).toBe(1);
    rig.expectEmpty();
  });

  test('TRUNCATED ends it with the reason in it', () => {
    const rig = new OriginRig();
    const { log, far } = rig.openTwo();
    far.say(RelayCommand.TRUNCATED, 0, Uint8Array.of(DestroyReason.HIBERNATING));
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.HIBERNATING, hops: 2 }]);
    expect(rig.count('origin_truncated')).toBe(1);
    rig.expectEmpty();
  });

  test('DESTROY from the first hop: with its reason, and streams are told', () => {
    const rig = new OriginRig();
    const { circuit, log, far } = rig.openTwo();
    const { log: stream } = rig.connected(circuit, far);
    far.peer.send(far.circId, Command.DESTROY, Uint8Array.of(DestroyReason.RESOURCELIMIT));
    rig.settle();
    // The middle passes it on without the reason.
    expect(log.closed).toEqual([{ reason: DestroyReason.DESTROYED, hops: 2 }]);
    expect(stream.ended).toEqual([EndReason.DESTROY]);
    rig.expectEmpty();
  });

  test('DROP is nothing', () => {
    const rig = new OriginRig();
    const { log, far } = rig.openTwo();
    far.say(RelayCommand.DROP, 0, new Uint8Array(100));
    rig.settle();
    expect(log.closed).toEqual([]);
  });
});

describe('ends of other things', () => {
  test('the worker that holds the link dies', () => {
    const rig = new OriginRig({ workers: 2 });
    rig.open([rig.middleHop()], 1);
    const { log } = rig.open([rig.middleHop()], 0);
    expect(log.opened).toBe(1);
    rig.ours.kill(1);
    rig.settle();
    expect(log.closed).toEqual([{ reason: DestroyReason.CHANNEL_CLOSED, hops: 1 }]);
    expect(rig.origins(0).count).toBe(0);
  });

  test('we close: the last hop hears of it, without a reason', () => {
    const rig = new OriginRig();
    const { circuit, far } = rig.openTwo();
    circuit.close();
    rig.settle();
    // The middle says DESTROYED, whatever it was told.
    expect(far.destroyed).toBe(DestroyReason.DESTROYED);
    rig.expectEmpty();
    const direct = rig.open([rig.endHop()]);
    direct.circuit.close();
    rig.settle();
    expect(rig.end.last.destroyed).toBe(DestroyReason.NONE);
  });

  test('DROP cells go to the last hop', () => {
    const rig = new OriginRig();
    const { circuit, far } = rig.openTwo();
    for (let i = 0; i < 10; i++) expect(circuit.drop()).toBe(true);
    rig.settle();
    expect(far.heard).toEqual(
      Array.from({ length: 10 }, () => ({ command: RelayCommand.DROP, data: NOTHING })),
    );
    circuit.close();
    expect(circuit.drop()).toBe(false);
  });
});
