/** Relay cells on circuits of our own: limits, directions, and what nobody recognises. */
import { describe, expect, test } from 'bun:test';
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { Peer } from '../sim/peer.ts';
import { filled, ID, Rig } from './rig.ts';

describe('RELAY_EARLY', () => {
  test('passes eight times, the ninth closes the circuit', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    for (let i = 0; i < 7; i++)
      circuit.say(RelayCommand.DATA, 1, filled(4, i), { command: Command.RELAY_EARLY });
    rig.settle();
    expect(rig.next.last.heard.length).toBe(7);
    circuit.say(RelayCommand.DATA, 1, filled(4, 9), { command: Command.RELAY_EARLY });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.next.last.heard.length).toBe(7);
    expect(rig.count('circuit_relay_early_exceeded')).toBe(1);
    rig.expectEmpty();
  });

  test('counts those that were for us', () => {
    const rig = new Rig();
    const circuit = rig.open();
    for (let i = 0; i < 8; i++)
      circuit.say(RelayCommand.DROP, 0, filled(1, i), { command: Command.RELAY_EARLY });
    rig.settle();
    rig.expectAlive(circuit);
    circuit.say(RelayCommand.DROP, 0, filled(1, 9), { command: Command.RELAY_EARLY });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
  });

  test('stays RELAY_EARLY on its way', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    const seen: number[] = [];
    const peer = rig.next.peers[0]!;
    const { onCell } = peer;
    peer.onCell = (cell) => {
      seen.push(cell.command);
      onCell?.(cell);
    };
    circuit.say(RelayCommand.DATA, 1, filled(4, 1), { command: Command.RELAY_EARLY });
    circuit.say(RelayCommand.DATA, 1, filled(4, 1));
    rig.settle();
    expect(seen).toEqual([Command.RELAY_EARLY, Command.RELAY]);
  });

  test('backward closes the circuit both ways', () => {
    const rig = new Rig();
    rig.openTwo();
    rig.next.last.say(RelayCommand.DATA, 1, filled(4, 1), Command.RELAY_EARLY);
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_relay_early_backward')).toBe(1);
    rig.expectEmpty();
  });
});

describe('a cell that we do not recognise', () => {
  test('closes a circuit without a next hop', () => {
    const rig = new Rig();
    rig.open();
    rig.client.send(ID, Command.RELAY, filled(509, 1));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_unrecognised_no_next')).toBe(1);
    rig.expectEmpty();
  });

  test('closes a circuit whose next hop has not answered, and the next hop is told', () => {
    const rig = new Rig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.client.send(ID, Command.RELAY, filled(509, 1));
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.strayDestroys).toEqual([DestroyReason.PROTOCOL]);
    rig.expectEmpty();
  });

  test('does not disturb the digest of those that we do', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    for (let i = 0; i < 300; i++) circuit.say(RelayCommand.DATA, 1, filled(8, i));
    circuit.say(RelayCommand.BEGIN, 77, filled(3, 0), { hop: 0 });
    rig.settle();
    expect(rig.next.last.heard.length).toBe(300);
    expect(rig.heard(circuit)).toMatchObject({ hop: 0, command: RelayCommand.END });
    // What was for us, and what we answered, was not passed on.
    expect(rig.count('cells_relayed')).toBe(300);
  });
});

describe('circuits that are not', () => {
  test('RELAY and DESTROY for an unknown circuit are dropped, and the channel lives', () => {
    const rig = new Rig();
    const circuit = rig.open();
    rig.client.send(ID + 9, Command.RELAY, filled(509, 1));
    rig.client.send(0, Command.RELAY_EARLY, filled(509, 1));
    rig.client.send(ID + 9, Command.DESTROY, Uint8Array.of(1));
    rig.settle();
    expect(rig.count('circuit_unknown_cell')).toBe(2);
    expect(rig.count('circuit_destroy_unknown')).toBe(1);
    rig.expectAlive(circuit);
  });

  test('another channel cannot speak for a circuit', () => {
    const rig = new Rig();
    const circuit = rig.open();
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    rig.settle();
    other.send(ID, Command.RELAY, filled(509, 1));
    other.send(ID, Command.DESTROY, Uint8Array.of(1));
    rig.settle();
    expect(rig.count('circuit_unknown_cell')).toBe(1);
    rig.expectAlive(circuit);
  });

  test('late cells after a DESTROY are dropped', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    const end = rig.next.last;
    rig.client.send(ID, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    circuit.say(RelayCommand.DATA, 1, filled(1, 1));
    end.say(RelayCommand.DATA, 1, filled(1, 1));
    rig.settle();
    expect(rig.client.cells).toEqual([]);
    expect(rig.count('circuit_unknown_cell')).toBe(2);
    rig.expectEmpty();
  });
});

test('ten circuits over one channel keep to themselves', () => {
  const rig = new Rig();
  const circuits = Array.from({ length: 10 }, (_, i) => rig.openTwo(ID + i));
  const ends = rig.next.circuits;
  for (let i = 0; i < 10; i++) {
    circuits[i]!.say(RelayCommand.DATA, 1, filled(3, i));
    ends[i]!.say(RelayCommand.DATA, 1, filled(5, i));
  }
  rig.settle();
  expect(ends.map(({ heard }) => heard[0]!.data)).toEqual(ends.map((_, i) => filled(3, i)));
  for (const cell of rig.client.cells) {
    const heard = circuits.find(({ circId }) => circId === cell.circId)!.hear(cell);
    expect(heard.data).toEqual(filled(5, cell.circId - ID));
  }
  expect(rig.client.cells.length).toBe(10);
  expect(rig.count('cells_relayed')).toBe(20);
  expect(rig.client.cells[0]!.bytes[BODY_AT - 1]).toBe(Command.RELAY);
});
