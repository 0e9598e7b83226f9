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
import { counted, ExitRig } from './exit-rig.ts';

const ip = (text: string): Uint8Array => parseIp(text)!;
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

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
          storedBytes: 0,
          waitsSinceMs: Number.POSITIVE_INFINITY,
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

  /** A directory that answers each request with so many cells of data, once it has come. */
  const answering = (rig: ExitRig, cells: number): void => {
    rig.edge.directory = (waker): StreamEnd => {
      let left = 0;
      let ended = 0;
      return {
        take: () => {
          left = cells * RELAY_DATA_MAX;
          if (left === 0) ended = EndReason.DONE;
          waker.wake();
        },
        pull: (_bytes, _at, max) => {
          const part = Math.min(max, left);
          left -= part;
          if (left === 0) ended = EndReason.DONE;
          return part;
        },
        get endReason() {
          return ended;
        },
        heldBytes: 0,
        storedBytes: 0,
        waitsSinceMs: 0,
        close() {},
      };
    };
  };

  test('of many that come together: each gets CONNECTED first, then all its data, then END', () => {
    for (const cells of [0, 1, 3, 40]) {
      const rig = new ExitRig();
      answering(rig, cells);
      const ids = Array.from({ length: 25 }, (_, i) => i + 1);
      for (const id of ids) {
        rig.circuit.say(RelayCommand.BEGIN_DIR, id, new Uint8Array(0));
        rig.circuit.say(RelayCommand.DATA, id, text('ask'));
      }
      rig.settle();
      const said = new Map<number, number[]>(ids.map((id) => [id, []]));
      let data = 0;
      while (rig.prev.cells.length > 0) {
        const { command, streamId } = rig.heard();
        if (command === RelayCommand.DATA) data++;
        said.get(streamId)!.push(command);
        // Acknowledged after each 31 cells of DATA, and not after so many cells of any kind.
        if (command === RelayCommand.DATA && data % 31 === 0) rig.sendme();
      }
      const { CONNECTED, DATA, END } = RelayCommand;
      // One cell in many is not full.
      for (const id of ids) {
        const commands = said.get(id)!;
        const between = commands.slice(1, -1);
        expect([commands[0], commands.at(-1)]).toEqual([CONNECTED, END]);
        expect(between.every((command) => command === DATA)).toBe(true);
        expect(between.length).toBeWithin(cells, cells + 3);
      }
      expect(rig.count('stream_cells_sent')).toBe(data);
      rig.expectNoStreams();
    }
  });

  test('a window that is used up stops data, and neither CONNECTED nor the END of what has none', () => {
    const rig = new ExitRig({ cc: false });
    answering(rig, 500);
    for (const id of [1, 2, 3]) {
      rig.circuit.say(RelayCommand.BEGIN_DIR, id, new Uint8Array(0));
      rig.circuit.say(RelayCommand.DATA, id, text('ask'));
    }
    rig.settle();
    const first = rig.heardAll();
    expect(first.filter(({ command }) => command === RelayCommand.DATA).length).toBe(1000);
    answering(rig, 0);
    rig.say(RelayCommand.BEGIN_DIR, 4);
    rig.expect(RelayCommand.CONNECTED, 4);
    rig.say(RelayCommand.DATA, 4, text('ask'));
    rig.expect(RelayCommand.END, 4, encodeEnd(EndReason.DONE));
    rig.circuit.say(RelayCommand.BEGIN_DIR, 5, new Uint8Array(0));
    rig.circuit.say(RelayCommand.DATA, 5, text('ask'));
    rig.settle();
    rig.expect(RelayCommand.CONNECTED, 5);
    rig.expect(RelayCommand.END, 5, encodeEnd(EndReason.DONE));
    rig.expectSilence();
  });

  test('what a stream must say before its CONNECTED went out waits for that', () => {
    const rig = new ExitRig({ cc: false });
    rig.edge.directory = () => ({
      take() {},
      pull: () => 0,
      endReason: 0,
      heldBytes: 0,
      storedBytes: 0,
      waitsSinceMs: 0,
      close() {},
    });
    rig.circuit.say(RelayCommand.BEGIN_DIR, 7, new Uint8Array(0));
    for (let i = 0; i < 50; i++) rig.circuit.say(RelayCommand.DATA, 7, text('ask'));
    rig.settle();
    expect(rig.heardAll().map(({ command }) => command)).toEqual([
      RelayCommand.CONNECTED,
      RelayCommand.SENDME,
    ]);
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
      storedBytes: 0,
      waitsSinceMs: Number.POSITIVE_INFINITY,
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
