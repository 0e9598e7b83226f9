/** Streams of ours against an end that the test plays: windows, SENDMEs both ways, XOFF, ends, half-closed streams. */
import { describe, expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeXoff, encodeXon } from '../../src/cell/stream-message.ts';
import { OriginStream, type StreamCarrier } from '../../src/origin/origin-stream.ts';
import { OriginRig, StreamLog } from './rig.ts';

const NOTHING = new Uint8Array(0);
const cells = (count: number): Uint8Array => new Uint8Array(count * RELAY_DATA_MAX).fill(7);

/** A stream on two hops, with both ends of it. */
function opened() {
  const rig = new OriginRig();
  const { circuit, log: circuitLog, far } = rig.openTwo();
  const { stream, log } = rig.connected(circuit, far);
  far.heard.length = 0;
  return { rig, circuit, circuitLog, far, stream, log };
}

const dataIn = (far: { heard: { command: number; data: Uint8Array }[] }): number =>
  far.heard.filter(({ command }) => command === RelayCommand.DATA).length;

test('BEGIN names the target, and bytes go both ways', () => {
  const { rig, far, stream, log } = opened();
  expect(stream.write(new Uint8Array(600).fill(1))).toBe(600);
  rig.settle();
  expect(far.heard.map(({ command, data }) => [command, data.length])).toEqual([
    [RelayCommand.DATA, RELAY_DATA_MAX],
    [RelayCommand.DATA, 600 - RELAY_DATA_MAX],
  ]);
  far.say(RelayCommand.DATA, stream.id, Uint8Array.of(4, 5));
  far.say(RelayCommand.DATA, stream.id, Uint8Array.of(6));
  far.say(RelayCommand.END, stream.id, Uint8Array.of(EndReason.DONE));
  rig.settle();
  expect(log.data).toEqual(Uint8Array.of(4, 5, 6));
  expect(log.ended).toEqual([EndReason.DONE]);
  expect([stream.sent, stream.received, stream.isOver, stream.room]).toEqual([600, 3, true, 0]);
  expect(stream.write(Uint8Array.of(1))).toBe(0);
});

test('BEGIN and BEGIN_DIR as they stand on the wire', () => {
  const { rig, circuit, far } = opened();
  const named = circuit.connect('[2001:db8::1]:443', 5, new StreamLog())!;
  const directory = circuit.connectDirectory(new StreamLog())!;
  rig.settle();
  const text = new TextEncoder().encode('[2001:db8::1]:443\0');
  expect(far.heard).toEqual([
    { command: RelayCommand.BEGIN, data: Uint8Array.of(...text, 0, 0, 0, 5) },
    { command: RelayCommand.BEGIN_DIR, data: NOTHING },
  ]);
  expect(far.streamIds.slice(-2)).toEqual([named.id, directory.id]);
  expect(new Set([0, named.id, directory.id]).size).toBe(3);
});

describe('windows', () => {
  test('500 cells of a stream go out, then as many more as SENDMEs allow', () => {
    const { rig, far, stream, log } = opened();
    let left = cells(700);
    log.onRoomDo = () => {
      left = left.subarray(stream.write(left));
    };
    log.onRoomDo();
    rig.settle();
    expect(dataIn(far)).toBe(500);
    expect(log.rooms).toBe(0);
    for (let i = 1; i <= 4; i++) {
      far.say(RelayCommand.SENDME, stream.id);
      rig.settle();
      expect(dataIn(far)).toBe(500 + 50 * i);
    }
    expect(left.length).toBe(0);
  });

  test('1000 cells of a circuit, whatever its streams may', () => {
    const { rig, circuit, circuitLog, far, stream } = opened();
    const other = rig.connected(circuit, far);
    const third = rig.connected(circuit, far);
    const streams = [stream, other.stream, third.stream];
    far.heard.length = 0;
    for (let round = 0; round < 10; round++) {
      for (const one of streams) one.write(cells(100));
      rig.settle();
    }
    expect(dataIn(far)).toBe(1000);
    expect(third.log.rooms).toBe(0);
    // Not the hundredth cell's tag.
    far.say(RelayCommand.SENDME, 0, Uint8Array.of(1, 0, 20, ...far.layer.forwardTag));
    rig.settle();
    expect(circuitLog.closed.length).toBe(1);
    expect(rig.count('circuit_sendme_wrong_tag')).toBe(1);
  });

  test('an authenticated SENDME opens the circuit again', () => {
    const { rig, circuit, far, stream } = opened();
    const other = rig.connected(circuit, far);
    const third = rig.connected(circuit, far);
    far.heard.length = 0;
    let tag = NOTHING;
    let seen = 0;
    far.onHeard = (command) => {
      if (command === RelayCommand.DATA && ++seen === 100) tag = far.layer.forwardTag.slice();
    };
    for (const one of [stream, other.stream, third.stream]) one.write(cells(400));
    rig.settle();
    expect(seen).toBe(1000);
    expect([stream.room, third.log.rooms]).toEqual([0, 0]);
    far.say(RelayCommand.SENDME, 0, Uint8Array.of(1, 0, 20, ...tag));
    rig.settle();
    expect(third.log.rooms).toBe(1);
    expect(third.stream.room).toBe(100 * RELAY_DATA_MAX);
  });

  test('what comes is acknowledged: every 50 cells of a stream, every 100 of the circuit with the tag', () => {
    const { rig, far, stream } = opened();
    let tag = NOTHING;
    for (let i = 1; i <= 120; i++) {
      far.say(RelayCommand.DATA, stream.id, Uint8Array.of(i));
      if (i === 100) tag = far.layer.backwardTag.slice();
    }
    rig.settle();
    const sendmes = far.heard.filter(({ command }) => command === RelayCommand.SENDME);
    expect(sendmes.map(({ data }) => data)).toEqual([NOTHING, Uint8Array.of(1, 0, 20, ...tag), NOTHING]);
  });

  test('a held stream acknowledges nothing until it is let go', () => {
    const { rig, far, stream, log } = opened();
    stream.hold(true);
    for (let i = 0; i < 99; i++) far.say(RelayCommand.DATA, stream.id, Uint8Array.of(i));
    rig.settle();
    expect(far.heard).toEqual([]);
    expect(log.data.length).toBe(99);
    stream.hold(false);
    rig.settle();
    expect(far.heard).toEqual([{ command: RelayCommand.SENDME, data: NOTHING }]);
  });

  test('more cells than the window ends the circuit', () => {
    const { rig, circuitLog, far, stream } = opened();
    stream.hold(true);
    for (let i = 0; i < 501; i++) far.say(RelayCommand.DATA, stream.id, Uint8Array.of(1));
    rig.settle();
    expect(rig.count('origin_stream_protocol')).toBe(1);
    expect(circuitLog.closed.length).toBe(1);
  });
});

test.each([
  ['a second CONNECTED', RelayCommand.CONNECTED, NOTHING],
  ['a SENDME for nothing', RelayCommand.SENDME, NOTHING],
  ['a message that streams have not', RelayCommand.RESOLVED, NOTHING],
] as const)('%s ends the circuit', (_name, command, data) => {
  const { rig, circuitLog, far, stream, log } = opened();
  far.say(command, stream.id, data);
  rig.settle();
  expect(rig.count('origin_stream_protocol')).toBe(1);
  expect(circuitLog.closed.length).toBe(1);
  expect(log.ended).toEqual([EndReason.DESTROY]);
});

test.each([
  ['END', RelayCommand.END],
  ['XON', RelayCommand.XON],
  ['XOFF', RelayCommand.XOFF],
] as const)('an empty %s is malformed', (_name, command) => {
  const { rig, circuitLog, far, stream } = opened();
  far.say(command, stream.id, NOTHING);
  rig.settle();
  expect(rig.count('origin_message_malformed')).toBe(1);
  expect(circuitLog.closed.length).toBe(1);
});

test('DATA before CONNECTED ends the circuit', () => {
  const rig = new OriginRig();
  const { circuit, log, far } = rig.openTwo();
  const stream = circuit.connect('a:1', 0, new StreamLog())!;
  // Ours may go out early.
  expect(stream.write(Uint8Array.of(1))).toBe(1);
  far.say(RelayCommand.DATA, stream.id, Uint8Array.of(1));
  rig.settle();
  expect(rig.count('origin_stream_protocol')).toBe(1);
  expect(log.closed.length).toBe(1);
});

test('XOFF stops us, XON lets us go on', () => {
  const { rig, far, stream, log } = opened();
  far.say(RelayCommand.XOFF, stream.id, encodeXoff());
  rig.settle();
  expect(stream.write(Uint8Array.of(1))).toBe(0);
  far.say(RelayCommand.XON, stream.id, encodeXon(0));
  rig.settle();
  expect(log.rooms).toBe(1);
  expect(stream.write(Uint8Array.of(1))).toBe(1);
});

test('END goes out; what still comes is passed over, until the other side ends it, too', () => {
  const { rig, circuit, circuitLog, far, stream, log } = opened();
  stream.end(EndReason.MISC);
  far.say(RelayCommand.DATA, stream.id, Uint8Array.of(1));
  rig.settle();
  expect(far.heard).toEqual([{ command: RelayCommand.END, data: Uint8Array.of(EndReason.MISC) }]);
  expect([circuit.streamCount, log.data.length, log.ended.length]).toEqual([0, 0, 0]);
  far.say(RelayCommand.END, stream.id, Uint8Array.of(EndReason.DONE));
  rig.settle();
  expect(circuitLog.closed).toEqual([]);
  far.say(RelayCommand.DATA, stream.id, Uint8Array.of(1));
  rig.settle();
  expect(rig.count('origin_stream_unknown')).toBe(1);
});

describe('beside congestion control', () => {
  /** A stream on a carrier that only writes down. */
  function bare() {
    const said: [number, Uint8Array][] = [];
    const carrier: StreamCarrier = {
      dataRoom: () => 3,
      sendMessage: (command, _id, data) => {
        said.push([command, data.slice()]);
        return true;
      },
      noteBlocked: () => {},
      noteEnded: () => {},
      hasStreamWindows: false,
    };
    const log = new StreamLog();
    const stream = new OriginStream(9, carrier, log);
    stream.onMessage(RelayCommand.CONNECTED, NOTHING);
    return { stream, log, said };
  }

  test('a held stream says XOFF, and XON when it is let go; no SENDMEs', () => {
    const { stream, said } = bare();
    for (let i = 0; i < 600; i++) stream.onMessage(RelayCommand.DATA, Uint8Array.of(1));
    expect(said).toEqual([]);
    stream.hold(true);
    stream.hold(true);
    stream.hold(false);
    expect(said).toEqual([
      [RelayCommand.XOFF, encodeXoff()],
      [RelayCommand.XON, encodeXon(0)],
    ]);
  });

  test('a stream SENDME is none of this stream’s', () => {
    const { stream } = bare();
    expect(() => stream.onMessage(RelayCommand.SENDME, NOTHING)).toThrow('SENDME');
  });

  test('room is the circuit’s', () => {
    expect(bare().stream.room).toBe(3 * RELAY_DATA_MAX);
  });
});

test('a stream whose window opens while its circuit has no room waits for the circuit, not for ever', () => {
  let room = 1000;
  let blocked = 0;
  const carrier: StreamCarrier = {
    dataRoom: () => room,
    sendMessage: () => true,
    noteBlocked: () => {
      blocked++;
    },
    noteEnded: () => {},
    hasStreamWindows: true,
  };
  let rooms = 0;
  const log = new StreamLog();
  log.onRoomDo = () => {
    rooms++;
  };
  const stream = new OriginStream(9, carrier, log);
  stream.onMessage(RelayCommand.CONNECTED, NOTHING);
  expect(stream.write(cells(501))).toBe(500 * RELAY_DATA_MAX);
  // The circuit looks, and finds no stream that waits for it.
  expect([blocked, stream.waitsForCircuit]).toEqual([1, false]);
  room = 0;
  stream.onMessage(RelayCommand.SENDME, NOTHING);
  expect([blocked, stream.waitsForCircuit, rooms]).toEqual([2, true, 0]);
  room = 5;
  stream.wake();
  expect(rooms).toBe(1);
});
