/** Recognised messages that are not the circuit's own: streams are refused, the impossible closes the circuit. */
import { expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { filled, Rig } from '../circuit/rig.ts';

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

test('BEGIN is refused by policy', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.BEGIN, 9, text('example.com:443\0'));
  rig.settle();
  const heard = rig.heard(circuit);
  expect(heard).toMatchObject({ hop: 0, command: RelayCommand.END, streamId: 9 });
  expect(heard.data).toEqual(Uint8Array.of(EndReason.EXITPOLICY));
  expect(rig.count('streams_refused')).toBe(1);
});

test('BEGIN_DIR is refused: no directory', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.BEGIN_DIR, 10);
  rig.settle();
  expect(rig.heard(circuit)).toMatchObject({
    command: RelayCommand.END,
    streamId: 10,
    data: Uint8Array.of(EndReason.NOTDIRECTORY),
  });
});

test('RESOLVE is answered with an error that lasts', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.RESOLVE, 11, text('example.com\0'));
  rig.settle();
  expect(rig.heard(circuit)).toMatchObject({
    command: RelayCommand.RESOLVED,
    streamId: 11,
    data: Uint8Array.of(0xf1, 0, 0, 0, 0, 60),
  });
});

test('BEGIN, BEGIN_DIR and RESOLVE on stream 0 are dropped silently', () => {
  const rig = new Rig();
  const circuit = rig.open();
  for (const command of [RelayCommand.BEGIN, RelayCommand.BEGIN_DIR, RelayCommand.RESOLVE])
    circuit.say(command, 0);
  rig.settle();
  expect(rig.count('circuit_relay_zero_stream')).toBe(3);
  expect(rig.count('streams_refused')).toBe(0);
  rig.expectAlive(circuit);
});

test('a circuit SENDME acknowledges what was never sent: the circuit dies', () => {
  for (const data of [filled(0, 0), Uint8Array.of(1, 0, 20, ...filled(20, 1))]) {
    const rig = new Rig();
    const circuit = rig.openTwo();
    circuit.say(RelayCommand.SENDME, 0, data, { hop: 0 });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_unexpected_sendme')).toBe(1);
    rig.expectEmpty();
  }
});

test('a SENDME of a stream that is gone is dropped', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.SENDME, 5);
  rig.settle();
  rig.expectAlive(circuit);
});

test('an END is dropped, an empty one closes the circuit', () => {
  const rig = new Rig();
  const circuit = rig.open();
  circuit.say(RelayCommand.END, 5, Uint8Array.of(6));
  rig.settle();
  rig.expectAlive(circuit);
  circuit.say(RelayCommand.END, 5);
  rig.settle();
  rig.expectDestroyed(DestroyReason.PROTOCOL);
  expect(rig.count('circuit_relay_malformed')).toBe(1);
});

test('unknown commands are dropped and counted', () => {
  const rig = new Rig();
  const circuit = rig.open();
  for (const command of [0, RelayCommand.DATA, RelayCommand.CONNECTED, RelayCommand.XOFF, 99, 255]) {
    circuit.say(command, 3, filled(4, 1));
  }
  rig.settle();
  expect(rig.count('circuit_relay_unknown_command')).toBe(6);
  rig.expectAlive(circuit);
});
