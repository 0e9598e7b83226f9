/** Streams beside each other: their turns, their windows, congestion control with XON and XOFF. */
import { describe, expect, test } from 'bun:test';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeSendme } from '../../src/cell/sendme.ts';
import { encodeEnd, encodeXoff, encodeXon } from '../../src/cell/stream-message.ts';
import { filled } from '../circuit/rig.ts';
import { counted, ExitRig } from './exit-rig.ts';

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

describe('many streams', () => {
  test('take turns, and fill their cells', () => {
    const rig = new ExitRig();
    const connections = [1, 2, 3].map((id) => rig.stream(id));
    for (const connection of connections) connection.say(counted(20 * RELAY_DATA_MAX));
    rig.settle();
    const heard = rig.heardAll();
    // Congestion control begins with 124 cells, so all are sent: one byte less than all of it is filled for once.
    for (const id of [1, 2, 3]) {
      const own = heard.filter(({ streamId }) => streamId === id);
      expect(new Uint8Array(Buffer.concat(own.map(({ data }) => data)))).toEqual(
        counted(20 * RELAY_DATA_MAX),
      );
      expect(own.length).toBeLessThanOrEqual(21);
    }
    // No stream is done before the others have begun.
    expect(new Set(heard.slice(0, 32).map(({ streamId }) => streamId)).size).toBe(3);
  });

  test('of one circuit wait for its window, and none is forgotten', () => {
    const rig = new ExitRig({ cc: false });
    const connections = Array.from({ length: 20 }, (_, i) => rig.stream(i + 1));
    for (const connection of connections) connection.say(counted(100 * RELAY_DATA_MAX));
    rig.settle();
    const tags: Uint8Array[] = [];
    const got = new Map<number, number>();
    const take = (): void => {
      while (rig.prev.cells.length > 0) {
        const { streamId, data, command } = rig.heard();
        expect(command).toBe(RelayCommand.DATA);
        got.set(streamId, (got.get(streamId) ?? 0) + data.length);
        cells++;
        if (cells % 100 === 0) tags.push(rig.circuit.layers[0]!.backwardTag);
      }
    };
    let cells = 0;
    take();
    expect(cells).toBe(1000);
    while (tags.length > 0) {
      rig.circuit.say(RelayCommand.SENDME, 0, encodeSendme(tags.shift()!));
      rig.settle();
      take();
    }
    for (let id = 1; id <= 20; id++) expect(got.get(id)).toBe(100 * RELAY_DATA_MAX);
  });
});

describe('windows without congestion control', () => {
  test('a stream sends 500 cells, 50 more for each SENDME', () => {
    const rig = new ExitRig({ cc: false });
    const connection = rig.stream(9);
    connection.say(counted(700 * RELAY_DATA_MAX));
    rig.settle();
    expect(rig.heardAll().length).toBe(500);
    rig.say(RelayCommand.SENDME, 9);
    expect(rig.heardAll().length).toBe(50);
    expect(connection.paused).toBe(true);
  });

  test('a SENDME for a stream whose window is full closes the circuit', () => {
    const rig = new ExitRig({ cc: false });
    rig.stream(9);
    rig.say(RelayCommand.SENDME, 9);
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('stream_unexpected_sendme')).toBe(1);
    rig.expectNoStreams();
  });

  test('the client gets a SENDME for 50 cells of a stream, and for 100 of the circuit', () => {
    const rig = new ExitRig({ cc: false });
    const connection = rig.stream(9);
    for (let i = 0; i < 100; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(10, i));
    const tag = rig.circuit.layers[0]!.forwardTag;
    rig.settle();
    expect(connection.received.length).toBe(1000);
    const heard = rig.heardAll();
    expect(heard.filter(({ streamId }) => streamId === 9).map(({ command }) => command)).toEqual([
      RelayCommand.SENDME,
      RelayCommand.SENDME,
    ]);
    expect(heard.filter(({ streamId }) => streamId === 0)).toEqual([
      { hop: 0, command: RelayCommand.SENDME, streamId: 0, data: encodeSendme(tag) },
    ]);
  });

  test('a stream that holds bytes gives none, until they are gone', () => {
    const rig = new ExitRig({ cc: false });
    const connection = rig.stream(9);
    connection.capacity = 0;
    for (let i = 0; i < 60; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, i));
    rig.settle();
    rig.expectSilence();
    connection.drain(60 * RELAY_DATA_MAX);
    rig.settle();
    rig.expect(RelayCommand.SENDME, 9);
  });

  test('DATA beyond the window of its stream closes the circuit', () => {
    const rig = new ExitRig({ cc: false });
    rig.stream(9).capacity = 0;
    for (let i = 0; i < 501; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, i));
    rig.settle();
    const cells = rig.prev.cells.splice(0);
    expect(cells.at(-1)!.command).toBe(4);
    expect(rig.count('stream_window_exceeded')).toBe(1);
  });

  test('XON and XOFF are not known', () => {
    const rig = new ExitRig({ cc: false });
    const connection = rig.stream(9);
    rig.say(RelayCommand.XOFF, 9, encodeXoff());
    rig.say(RelayCommand.XON, 9, encodeXon(5));
    expect(rig.count('stream_xoff_unexpected')).toBe(1);
    expect(rig.count('stream_xon_unexpected')).toBe(1);
    connection.say(text('on'));
    rig.settle();
    rig.expect(RelayCommand.DATA, 9, text('on'));
  });
});

describe('congestion control', () => {
  test('124 cells go, and more when they are acknowledged', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    connection.say(counted(400 * RELAY_DATA_MAX));
    rig.settle();
    const tags: Uint8Array[] = [];
    let cells = 0;
    while (rig.prev.cells.length > 0) {
      expect(rig.heard().command).toBe(RelayCommand.DATA);
      if (++cells % 31 === 0) tags.push(rig.circuit.layers[0]!.backwardTag);
    }
    expect(cells).toBe(124);
    rig.pass(50);
    rig.sendme(tags[0]!);
    expect(rig.heardAll().length).toBeGreaterThanOrEqual(31);
  });

  test('a SENDME with a wrong tag, or for nothing, closes the circuit', () => {
    const rig = new ExitRig();
    rig.stream(9).say(counted(40 * RELAY_DATA_MAX));
    rig.settle();
    rig.heardAll();
    rig.sendme(filled(20, 1));
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_sendme_wrong_tag')).toBe(1);
    const other = new ExitRig();
    other.stream(9);
    other.sendme();
    other.expectDestroyed(DestroyReason.PROTOCOL);
    expect(other.count('circuit_unexpected_sendme')).toBe(1);
  });

  test('one with another version or shape, too', () => {
    for (const [data, counter] of [
      [Uint8Array.of(7, 0, 0), 'circuit_sendme_malformed'],
      [new Uint8Array(0), 'circuit_sendme_old_version'],
    ] as const) {
      const flow = { ...new ExitRig().plane.options.flow, sendmeAcceptVersion: 1 };
      const rig = new ExitRig({ options: { flow } });
      rig.stream(9).say(counted(40 * RELAY_DATA_MAX));
      rig.settle();
      rig.heardAll();
      rig.say(RelayCommand.SENDME, 0, data);
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count(counter)).toBe(1);
    }
  });

  test('a stream has no window: a SENDME for it closes the circuit', () => {
    const rig = new ExitRig();
    rig.stream(9);
    rig.say(RelayCommand.SENDME, 9);
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('stream_unexpected_sendme')).toBe(1);
  });

  test('XOFF stops a stream, XON lets it go on; a second XOFF is dropped', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    const other = rig.stream(10);
    rig.say(RelayCommand.XOFF, 9, encodeXoff());
    rig.say(RelayCommand.XOFF, 9, encodeXoff());
    expect(rig.count('stream_xoff_unexpected')).toBe(1);
    connection.say(text('held'));
    other.say(text('free'));
    rig.settle();
    rig.expect(RelayCommand.DATA, 10, text('free'));
    rig.expectSilence();
    rig.say(RelayCommand.XON, 9, encodeXon(0));
    rig.expect(RelayCommand.DATA, 9, text('held'));
    rig.say(RelayCommand.XON, 9, Uint8Array.of(1, 2));
    expect(rig.count('stream_xon_unexpected')).toBe(1);
  });

  test('a stopped stream ends when its destination breaks', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    rig.say(RelayCommand.XOFF, 9, encodeXoff());
    connection.reset('ECONNRESET');
    rig.settle();
    rig.expect(RelayCommand.END, 9, encodeEnd(EndReason.CONNRESET));
  });

  test('XON with a rate slows a stream to it', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    // 10,000 bytes per second.
    rig.say(RelayCommand.XON, 9, encodeXon(10));
    connection.say(counted(40_000));
    rig.settle();
    const bytes = (): number => rig.heardAll().reduce((sum, { data }) => sum + data.length, 0);
    let got = bytes();
    expect(got).toBeGreaterThanOrEqual(10_000);
    expect(got).toBeLessThan(11_000);
    rig.pass(1000);
    got += bytes();
    expect(got).toBeGreaterThan(18_000);
    expect(got).toBeLessThan(22_000);
    rig.say(RelayCommand.XON, 9, encodeXon(0));
    got += bytes();
    expect(got).toBe(40_000);
  });

  test('bytes that are not taken bring XOFF, after a grace, and XON when they are gone', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    connection.capacity = 0;
    const cells = Math.ceil(rig.plane.options.flow.xoffBytes / RELAY_DATA_MAX) + 2;
    for (let i = 0; i < cells; i++) rig.circuit.say(RelayCommand.DATA, 9, filled(RELAY_DATA_MAX, i));
    rig.settle();
    const isFlow = ({ command }: { command: number }): boolean =>
      command === RelayCommand.XOFF || command === RelayCommand.XON;
    expect(rig.heardAll().filter(isFlow)).toEqual([]);
    rig.pass(10);
    rig.say(RelayCommand.DATA, 9, filled(1, 1));
    expect(
      rig
        .heardAll()
        .filter(isFlow)
        .map(({ command }) => command),
    ).toEqual([RelayCommand.XOFF]);
    expect(rig.count('stream_xoff_sent')).toBe(1);
    rig.say(RelayCommand.DATA, 9, filled(1, 1));
    connection.drain(1e9);
    rig.settle();
    expect(
      rig
        .heardAll()
        .filter(isFlow)
        .map(({ command }) => command),
    ).toEqual([RelayCommand.XON]);
    expect(rig.count('stream_xon_sent')).toBe(1);
    expect(connection.received.length).toBe(cells * RELAY_DATA_MAX + 2);
  });
});
