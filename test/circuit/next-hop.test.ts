/** What the next hop answers to an extend, late or wrongly too, and TRUNCATE. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { encodeCreated2 } from '../../src/cell/create.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { PeerListener } from '../sim/peer.ts';
import { hello } from '../sim/stub-handshake.ts';
import { filled, ID, Rig } from './rig.ts';

const HOLE_PORT = 1;

describe('the next hop', () => {
  test('that is someone else costs 8', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.extend({ ...rig.next.hop, rsaId: filled(20, 5) });
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('link_handshake_wrong_identity')).toBe(1);
    expect(rig.count('extend_dial_failed')).toBe(1);
    rig.expectEmpty();
  });

  test('that refuses the connection costs 8', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.extend({ ...rig.next.hop, port: 4 });
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('link_dial_failed')).toBe(1);
    expect(rig.count('extend_dial_failed')).toBe(1);
    expect(rig.relay.roster.count()).toEqual({ dialling: 0, open: 0, bad: 0 });
  });

  test('that is a black hole costs nobody else anything', () => {
    const rig = new Rig({ options: { handshakeTimeoutMs: 20_000 } });
    const lost = rig.open();
    lost.extend({ ...rig.next.hop, port: HOLE_PORT, host: Uint8Array.of(203, 0, 113, 9) });
    rig.settle();
    const circuit = rig.openTwo(ID + 1);
    rig.expectPasses(circuit, rig.next.last);
    rig.world.pass(20_200);
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('link_handshake_timeout')).toBe(1);
    rig.expectPasses(circuit, rig.next.last);
  });

  test('that stays mute costs 9, and is told', () => {
    const rig = new Rig({ options: { extendTimeoutMs: 5000 } });
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.world.pass(4900);
    expect(rig.client.cells).toEqual([]);
    rig.world.pass(300);
    rig.expectDestroyed(DestroyReason.FINISHED);
    expect(rig.next.strayDestroys).toEqual([DestroyReason.FINISHED]);
    expect(rig.count('extend_timeout')).toBe(1);
    rig.expectEmpty();
    expect(rig.plane.extendDeadlines.length).toBe(0);
  });

  test('that answered in time is not timed out', () => {
    const rig = new Rig({ options: { extendTimeoutMs: 5000 } });
    const circuit = rig.openTwo();
    rig.world.pass(11_000);
    expect(rig.count('extend_timeout')).toBe(0);
    rig.expectPasses(circuit, rig.next.last);
  });

  test('may answer twice: the client is the one to judge', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    const { peer, circId } = rig.next.last;
    peer.send(circId, Command.CREATED2, encodeCreated2(filled(64, 1)));
    rig.settle();
    const heard = rig.heard(circuit);
    expect([heard.hop, heard.command, heard.data.length]).toEqual([0, RelayCommand.EXTENDED2, 66]);
    rig.expectPasses(circuit, rig.next.last);
  });

  test('may speak before it answers: that is passed back', () => {
    const rig = new Rig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    const { peer, cell } = rig.next.held[0]!;
    peer.send(cell.circId, Command.RELAY, filled(509, 9));
    rig.settle();
    expect(rig.heard(circuit).hop).toBe(-1);
    rig.next.answer(peer, cell);
    rig.settle();
    rig.extended(circuit);
  });

  test('that answers with nonsense costs the circuit', () => {
    for (const body of [Uint8Array.of(2, 0), Uint8Array.of(1, 0xf1)]) {
      const rig = new Rig();
      rig.next.holdCreates = true;
      const circuit = rig.open();
      circuit.extend(rig.next.hop);
      rig.settle();
      const { peer, cell } = rig.next.held[0]!;
      peer.send(cell.circId, Command.CREATED2, body);
      rig.settle();
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.next.strayDestroys).toEqual([DestroyReason.PROTOCOL]);
      expect(rig.count('extend_created_malformed')).toBe(1);
      rig.expectEmpty();
    }
  });
});

describe('TRUNCATE', () => {
  test('cuts the next hop off with its reason, and says so', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(4), { hop: 0 });
    rig.settle();
    const heard = rig.heard(circuit);
    expect([heard.hop, heard.command, ...heard.data]).toEqual([
      0,
      RelayCommand.TRUNCATED,
      DestroyReason.REQUESTED,
    ]);
    expect(rig.next.last.destroyed).toBe(4);
    circuit.layers.pop();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.extended(circuit);
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.count('circuit_truncate_received')).toBe(1);
  });

  test('with no next hop is answered, empty or not', () => {
    const rig = new Rig();
    const circuit = rig.open();
    for (const data of [filled(0, 0), Uint8Array.of(9)]) {
      circuit.say(RelayCommand.TRUNCATE, 0, data);
      rig.settle();
      expect(rig.heard(circuit)).toMatchObject({ command: RelayCommand.TRUNCATED, data: Uint8Array.of(3) });
    }
  });

  test('without a reason kills a circuit with a next hop', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    circuit.say(RelayCommand.TRUNCATE, 0, filled(0, 0), { hop: 0 });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_truncate_malformed')).toBe(1);
    rig.expectEmpty();
  });

  test('while a dial hangs: what waited there does not go out on the next one', () => {
    const rig = new Rig();
    const slow = new PeerListener(rig.world, Uint8Array.of(198, 51, 100, 7), { mute: true });
    const circuit = rig.open();
    circuit.extend({ ...rig.next.hop, ...slow.identity, host: slow.host });
    rig.settle();
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    circuit.extend({ ...rig.next.hop, port: HOLE_PORT });
    rig.settle();
    slow.last.sendBytes(hello(slow.identity));
    rig.settle();
    expect(slow.last.cells).toEqual([]);
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    expect(rig.extending()).toBe(1);
  });

  test('and again to the same dial: one CREATE2 goes out', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    circuit.extend(rig.next.hop);
    rig.settle();
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    rig.extended(circuit);
    expect(rig.next.circuits.length).toBe(1);
    rig.expectPasses(circuit, rig.next.last);
  });

  test('ends the deadline of the extend that it cut', () => {
    const rig = new Rig({ options: { extendTimeoutMs: 5000 } });
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    circuit.say(RelayCommand.TRUNCATE, 0, Uint8Array.of(1));
    rig.world.pass(4000);
    expect(rig.heard(circuit).command).toBe(RelayCommand.TRUNCATED);
    circuit.extend(rig.next.hop);
    rig.world.pass(2000);
    rig.next.answer(rig.next.held[1]!.peer, rig.next.held[1]!.cell);
    rig.settle();
    rig.extended(circuit);
    expect(rig.count('extend_timeout')).toBe(0);
  });

  test('TRUNCATED, EXTENDED2 and EXTEND from a client mean nothing', () => {
    const rig = new Rig();
    const circuit = rig.open();
    for (const command of [RelayCommand.TRUNCATED, RelayCommand.EXTENDED2, RelayCommand.EXTEND]) {
      circuit.say(command, 0, filled(0, 0));
    }
    rig.settle();
    expect(rig.count('circuit_relay_unknown_command')).toBe(3);
    rig.expectAlive(circuit);
  });
});
