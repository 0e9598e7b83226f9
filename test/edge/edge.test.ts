/** Messages of streams at the edge: what begins streams, what they carry, what is dropped, what closes the circuit. */
import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import { DestroyReason, EndReason } from '../../src/cell/reason.ts';
import { RELAY_DATA_MAX, RelayCommand } from '../../src/cell/relay-message.ts';
import { encodeSendme } from '../../src/cell/sendme.ts';
import {
  decodeConnected,
  encodeBegin,
  encodeConnected,
  encodeEnd,
  encodeResolve,
  encodeXoff,
  encodeXon,
} from '../../src/cell/stream-message.ts';
import type { StreamEnd, StreamWaker } from '../../src/edge/stream-end.ts';
import { filled } from '../circuit/rig.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { ExitRig } from './exit-rig.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const text = (s: string): Uint8Array => new TextEncoder().encode(s);
/** Bytes that tell their place. */
const counted = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7) ^ (i >> 8));

describe('a stream', () => {
  test('begins, is connected, carries bytes both ways, and ends', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.BEGIN, 9, encodeBegin('192.0.2.9:80'));
    const connection = rig.destinations.last;
    expect(connection.request).toEqual({ host: '192.0.2.9', port: 80, bind: null });
    rig.expectSilence();
    connection.accept();
    rig.settle();
    rig.expect(RelayCommand.CONNECTED, 9, encodeConnected(ip('192.0.2.9'), 1800));
    rig.say(RelayCommand.DATA, 9, text('GET /'));
    expect(connection.text).toBe('GET /');
    connection.say(text('hello'));
    rig.settle();
    rig.expect(RelayCommand.DATA, 9, text('hello'));
    rig.say(RelayCommand.END, 9, encodeEnd(EndReason.DONE));
    expect(connection.ended).toBe(true);
    rig.expectSilence();
    rig.expectNoStreams();
    expect(rig.count('streams_begun')).toBe(1);
    expect(rig.count('exit_bytes_read')).toBe(5);
    expect(rig.count('exit_bytes_written')).toBe(5);
    expect(rig.count('stream_cells_sent')).toBe(1);
  });

  test('is told of bytes that came before it was connected', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.BEGIN, 9, encodeBegin('192.0.2.9:80'));
    rig.say(RelayCommand.DATA, 9, text('early'));
    const connection = rig.destinations.last;
    expect(connection.text).toBe('');
    connection.accept();
    rig.settle();
    expect(connection.text).toBe('early');
  });

  test('ends with all bytes sent when the destination has finished', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    const bytes = counted(3000);
    connection.say(bytes);
    connection.finish();
    rig.settle();
    const heard = rig.heardAll();
    expect(heard.at(-1)).toMatchObject({ command: RelayCommand.END, data: encodeEnd(EndReason.DONE) });
    const data = Buffer.concat(heard.slice(0, -1).map((each) => each.data));
    expect(new Uint8Array(data)).toEqual(bytes);
    expect(connection.ended).toBe(true);
    rig.expectNoStreams();
  });

  test('ends with the reason of what broke its connection', () => {
    const rig = new ExitRig();
    rig.stream(9).reset('ECONNRESET');
    rig.settle();
    rig.expect(RelayCommand.END, 9, encodeEnd(EndReason.CONNRESET));
    rig.stream(10).reset(null);
    rig.settle();
    rig.expect(RelayCommand.END, 10, encodeEnd(EndReason.DONE));
    rig.expectNoStreams();
  });

  test('passes on what it holds when the client ends it', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    connection.capacity = 3;
    rig.say(RelayCommand.DATA, 9, text('last words'));
    rig.say(RelayCommand.END, 9, encodeEnd(EndReason.DONE));
    expect([connection.text, connection.ended]).toEqual(['las', false]);
    connection.drain(100);
    rig.settle();
    expect([connection.text, connection.ended]).toEqual(['last words', true]);
    rig.expectNoStreams();
  });

  test('whose destination takes nothing more is not waited for long', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    connection.capacity = 0;
    rig.say(RelayCommand.DATA, 9, text('never'));
    rig.say(RelayCommand.END, 9, encodeEnd(EndReason.DONE));
    rig.pass(14_000);
    expect(connection.ended).toBe(false);
    rig.pass(3000);
    expect(connection.ended).toBe(true);
    expect(rig.count('stream_linger_expired')).toBe(1);
    rig.expectNoStreams();
  });

  test('ends with its circuit, silently', () => {
    const rig = new ExitRig();
    const connection = rig.stream(9);
    rig.say(RelayCommand.BEGIN, 10, encodeBegin('192.0.2.9:81'));
    const waiting = rig.destinations.last;
    rig.say(RelayCommand.BEGIN, 11, encodeBegin('example.com:81'));
    rig.prev.send(rig.circuit.circId, 4, Uint8Array.of(9));
    rig.settle();
    expect(connection.ended).toBe(true);
    expect(waiting.accept()).toBe(false);
    expect(rig.destinations.questions[0]!.cancelled).toBe(true);
    rig.expectSilence();
    rig.expectNoStreams();
  });
});

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

describe('RESOLVE', () => {
  test('gives what was found, each with a TTL of a minute', () => {
    const rig = new ExitRig();
    rig.destinations.known.set('example.com', {
      ipv4: ip('192.0.2.1'),
      ipv6: ip('2001:db8::1'),
      ttlSec: 999,
    });
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('example.com'));
    rig.expect(
      RelayCommand.RESOLVED,
      5,
      Uint8Array.of(4, 4, 192, 0, 2, 1, 0, 0, 0, 60, 6, 16, ...ip('2001:db8::1'), 0, 0, 0, 60),
    );
    expect(rig.count('streams_resolved')).toBe(1);
    rig.expectNoStreams();
  });

  test('waits for the answer, and answers once', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('1.2.0.192.in-addr.arpa'));
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('again'));
    expect(rig.count('stream_known_begin_dropped')).toBe(1);
    const question = rig.destinations.questions[0]!;
    question.answer({ hostname: 'host.example' });
    rig.settle();
    const data = rig.expect(RelayCommand.RESOLVED, 5);
    expect([data[0], data[1], Buffer.from(data.subarray(2, 14)).toString()]).toEqual([0, 12, 'host.example']);
    rig.expectNoStreams();
  });

  test('tells errors that last from those that do not', () => {
    const rig = new ExitRig();
    rig.destinations.known.set('gone.example', { failure: 'not-found' });
    rig.destinations.known.set('slow.example', { failure: 'transient' });
    for (const [name, type] of [
      ['gone.example', 0xf1],
      ['slow.example', 0xf0],
    ] as const) {
      rig.say(RelayCommand.RESOLVE, 5, encodeResolve(name));
      expect(rig.expect(RelayCommand.RESOLVED, 5)[0]).toBe(type);
    }
  });

  test('is forgotten with its stream', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('example.com'));
    rig.say(RelayCommand.END, 5, encodeEnd(EndReason.DONE));
    expect(rig.destinations.questions[0]!.cancelled).toBe(true);
    rig.expectSilence();
    rig.expectNoStreams();
  });

  test('of an address has no answer, and neither has any of a relay that is no exit', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.RESOLVE, 6, encodeResolve('192.0.2.1'));
    expect(rig.expect(RelayCommand.RESOLVED, 6)[0]).toBe(0xf1);
    const none = new ExitRig({
      exit: {
        rules: [4, 16].map((bytes) => ({
          accept: false,
          host: filled(bytes, 0),
          bits: 0,
          portMin: 1,
          portMax: 65535,
        })),
      },
    });
    none.say(RelayCommand.RESOLVE, 5, encodeResolve('example.com'));
    expect(none.expect(RelayCommand.RESOLVED, 5)[0]).toBe(0xf1);
    expect(none.destinations.questions).toEqual([]);
  });
});

describe('BEGIN_DIR', () => {
  test('is refused while we are no directory', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.BEGIN_DIR, 10);
    rig.expect(RelayCommand.END, 10, encodeEnd(EndReason.NOTDIRECTORY));
    expect(rig.count('streams_refused')).toBe(1);
  });

  test('makes a directory stream, which gets requests and gives answers', () => {
    for (const prev of ['relay', 'client'] as const) {
      const rig = new ExitRig({ prev });
      const taken: number[] = [];
      let answer = text('HTTP/1.0 200 OK');
      let ended = 0;
      let closed = 0;
      let wake: StreamWaker | null = null;
      rig.edge.directory = (waker, clientHost, prevIsRelay): StreamEnd => {
        expect([clientHost, prevIsRelay]).toEqual([Uint8Array.of(198, 51, 100, 7), prev === 'relay']);
        wake = waker;
        return {
          take: (data) => taken.push(...data),
          pull: (bytes, at, max) => {
            const part = answer.subarray(0, max);
            bytes.set(part, at);
            answer = answer.subarray(part.length);
            return part.length;
          },
          get endReason() {
            return ended;
          },
          heldBytes: 0,
          close: () => closed++,
        };
      };
      rig.say(RelayCommand.BEGIN_DIR, 10);
      expect(decodeConnected(rig.expect(RelayCommand.CONNECTED, 10)).address).toBeNull();
      rig.expect(RelayCommand.DATA, 10, text('HTTP/1.0 200 OK'));
      rig.say(RelayCommand.DATA, 10, text('GET /tor/'));
      expect(Buffer.from(taken).toString()).toBe('GET /tor/');
      ended = EndReason.DONE;
      wake!.wake();
      rig.settle();
      rig.expect(RelayCommand.END, 10, encodeEnd(EndReason.DONE));
      expect(closed).toBe(1);
      expect(rig.count('streams_begun_dir')).toBe(1);
    }
  });

  test('an old client may acknowledge directory streams as of old, whatever the consensus says', () => {
    const flow = { ...new ExitRig().plane.options.flow, sendmeAcceptVersion: 1 };
    const rig = new ExitRig({ cc: false, options: { flow } });
    let left = 300 * RELAY_DATA_MAX;
    rig.edge.directory = () => ({
      take() {},
      pull: (_bytes, _at, max) => {
        const part = Math.min(max, left);
        left -= part;
        return part;
      },
      endReason: 0,
      heldBytes: 0,
      close() {},
    });
    rig.say(RelayCommand.BEGIN_DIR, 10);
    rig.heardAll();
    rig.say(RelayCommand.SENDME, 0);
    rig.expectSilence();
    expect(rig.count('circuit_sendme_old_version')).toBe(0);
  });
});

describe('what is dropped', () => {
  test('BEGIN, BEGIN_DIR, RESOLVE and END on stream 0', () => {
    const rig = new ExitRig();
    const { BEGIN, BEGIN_DIR, RESOLVE, END, DATA } = RelayCommand;
    for (const command of [BEGIN, BEGIN_DIR, RESOLVE, END, DATA]) rig.say(command, 0, text('x:1\0'));
    expect(rig.count('circuit_relay_zero_stream')).toBe(5);
    rig.expectSilence();
  });

  test('what comes for streams that are gone or never were; an empty END closes the circuit', () => {
    const rig = new ExitRig();
    rig.say(RelayCommand.DATA, 5, text('late'));
    rig.say(RelayCommand.SENDME, 5);
    rig.say(RelayCommand.XOFF, 5, encodeXoff());
    rig.say(RelayCommand.XON, 5, encodeXon(1));
    rig.say(RelayCommand.END, 5, encodeEnd(EndReason.DONE));
    expect(rig.count('stream_unknown_dropped')).toBe(5);
    rig.expectSilence();
    rig.say(RelayCommand.END, 5);
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('circuit_relay_malformed')).toBe(1);
  });

  test('DATA counts for the circuit whatever stream it is for', () => {
    const rig = new ExitRig();
    for (let i = 0; i < 31; i++) rig.circuit.say(RelayCommand.DATA, 99, filled(5, 5));
    rig.settle();
    rig.expect(RelayCommand.SENDME, 0, encodeSendme(rig.circuit.layers[0]!.forwardTag));
  });

  test('BEGIN for a stream that there is, and commands that nobody knows', () => {
    const rig = new ExitRig();
    rig.stream(9);
    rig.say(RelayCommand.BEGIN, 9, encodeBegin('192.0.2.9:80'));
    expect(rig.count('stream_known_begin_dropped')).toBe(1);
    for (const command of [0, RelayCommand.CONNECTED, RelayCommand.RESOLVED, 99, 255]) rig.say(command, 9);
    rig.say(99, 0);
    expect(rig.count('circuit_relay_unknown_command')).toBe(6);
    rig.expectSilence();
    expect(rig.destinations.connections.length).toBe(1);
  });
});

describe('the bucket of new streams', () => {
  const dos = { ...DOS_LIMITS, streamsWatched: true, streamRate: 10, streamBurst: 3 };

  test('refuses what is too much, and refills', () => {
    const rig = new ExitRig({ options: { dos } });
    for (let id = 1; id <= 3; id++) rig.stream(id);
    rig.say(RelayCommand.BEGIN, 4, encodeBegin('192.0.2.9:80'));
    rig.expect(RelayCommand.END, 4, encodeEnd(EndReason.MISC));
    rig.say(RelayCommand.RESOLVE, 5, encodeResolve('example.com'));
    expect(rig.expect(RelayCommand.RESOLVED, 5)[0]).toBe(0xf0);
    expect(rig.count('dos_stream_refused')).toBe(2);
    rig.pass(150);
    rig.stream(6);
  });

  test('closes the circuit, or does nothing, as the consensus wants', () => {
    for (const command of [RelayCommand.BEGIN, RelayCommand.RESOLVE]) {
      const rig = new ExitRig({ options: { dos: { ...dos, streamDefence: 3 } } });
      for (let id = 1; id <= 3; id++) rig.stream(id);
      rig.say(command, 4, encodeBegin('192.0.2.9:80'));
      rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
      expect(rig.count('dos_stream_circuits_closed')).toBe(1);
    }
    const mild = new ExitRig({ options: { dos: { ...dos, streamDefence: 1 } } });
    for (let id = 1; id <= 9; id++) mild.stream(id);
  });
});
