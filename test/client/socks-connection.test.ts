/** An application's connection: what it says goes out, what comes back goes in, both sides held where they must be. */
import { describe, expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { ClientCircuits } from '../../src/client/client-circuits.ts';
import { SocksConnection } from '../../src/client/socks-connection.ts';
import { FakeOrigins, type FakeStream } from './fake-origins.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const GREETING = Uint8Array.of(5, 1, 0);
const connectTo = (a: number, port = 80) => Uint8Array.of(5, 1, 0, 1, a, 0, 0, 1, port >> 8, port & 255);

class Stage {
  readonly origins = new FakeOrigins();
  asked = 0;
  room = Number.POSITIVE_INFINITY;
  got: number[] = [];
  paused: boolean[] = [];
  closed = false;
  readonly circuits = new ClientCircuits(
    this.origins.asOrigins,
    (circuit) => void (this.asked = circuit),
    () => 0,
  );
  readonly connection = new SocksConnection(
    {
      write: (given) => {
        const taken = Math.min(given.length, this.room);
        this.room -= taken;
        this.got.push(...given.subarray(0, taken));
        return taken;
      },
      end: () => {
        this.closed = true;
      },
      pause: () => void this.paused.push(true),
      resume: () => void this.paused.push(false),
    },
    this.circuits,
  );

  /** Ask for a connection and let its circuit be built. */
  ask(rest = ''): FakeStream {
    this.connection.onBytes(GREETING);
    this.connection.onBytes(Buffer.concat([connectTo(127), bytes(rest)]));
    return this.build();
  }
  build(): FakeStream {
    this.circuits.takePath(this.asked, []);
    this.origins.last.events.onOpen();
    return this.origins.last.streams.at(-1)!;
  }
  open(rest = ''): FakeStream {
    const stream = this.ask(rest);
    stream.events.onOpen(new Uint8Array(0));
    this.got.splice(0);
    return stream;
  }
  get text(): string {
    return Buffer.from(this.got).toString();
  }
}

describe('an application', () => {
  test('is connected, and its bytes go both ways', () => {
    const stage = new Stage();
    const stream = stage.ask('early ');
    expect(stream.target).toBe('127.0.0.1:80');
    // Nothing goes out before the exit is connected.
    expect(stream.written).toBe('');
    expect(stage.got).toEqual([5, 0]);
    stream.events.onOpen(new Uint8Array(0));
    expect(stage.got.slice(2, 4)).toEqual([5, 0]);
    expect(stream.written).toBe('early ');
    stage.got.splice(0);
    stage.connection.onBytes(bytes('hello'));
    stream.events.onData(bytes('world'));
    expect([stream.written, stage.text]).toEqual(['early hello', 'world']);
    expect(stage.circuits.takeReports()[0]).toMatchObject({ received: 5, sent: 11 });
  });

  test('that sends more than the stream takes is paused', () => {
    const stage = new Stage();
    const stream = stage.open();
    stream.room = 3;
    stage.connection.onBytes(bytes('abcdef'));
    expect([stream.written, stage.paused.at(-1)]).toEqual(['abc', true]);
    stage.connection.onBytes(bytes('ghi'));
    stream.room = 4;
    stream.events.onRoom();
    expect([stream.written, stage.paused.at(-1)]).toEqual(['abcdefg', true]);
    stream.room = 100;
    stream.events.onRoom();
    expect([stream.written, stage.paused.at(-1)]).toEqual(['abcdefghi', false]);
  });

  test('that reads slowly has its stream held', () => {
    const stage = new Stage();
    const stream = stage.open();
    stage.room = 2;
    stream.events.onData(bytes('abcd'));
    stream.events.onData(bytes('ef'));
    expect([stage.text, stream.held]).toEqual(['ab', [true]]);
    stage.room = 3;
    stage.connection.onDrain();
    expect([stage.text, stream.held]).toEqual(['abcde', [true]]);
    stage.room = 100;
    stage.connection.onDrain();
    expect([stage.text, stream.held]).toEqual(['abcdef', [true, false]]);
  });

  test('gets everything before its connection closes', () => {
    const stage = new Stage();
    const stream = stage.open();
    stage.room = 1;
    stream.events.onData(bytes('abc'));
    stream.events.onEnd(EndReason.DONE);
    expect(stage.closed).toBe(false);
    stage.room = 100;
    stage.connection.onDrain();
    expect([stage.text, stage.closed]).toEqual(['abc', true]);
  });

  test('that ends its side ends the stream once its bytes are out', () => {
    const stage = new Stage();
    const stream = stage.open();
    stream.room = 1;
    stage.connection.onBytes(bytes('abc'));
    stage.connection.onFinished();
    expect(stream.ended).toBe(false);
    stream.room = 100;
    stream.events.onRoom();
    expect([stream.written, stream.ended, stage.closed]).toEqual(['abc', true, true]);
  });

  test('that goes takes its stream along', () => {
    const stage = new Stage();
    const stream = stage.open();
    stage.connection.onGone();
    expect(stream.ended).toBe(true);
    stream.events.onData(bytes('late'));
    expect(stage.text).toBe('');
  });

  test('that goes before there is a circuit opens no stream', () => {
    const stage = new Stage();
    stage.connection.onBytes(GREETING);
    stage.connection.onBytes(connectTo(127));
    stage.connection.onGone();
    stage.circuits.takePath(stage.asked, []);
    stage.origins.last.events.onOpen();
    expect(stage.origins.last.streams).toEqual([]);
  });

  test('is told why the exit refused', () => {
    const stage = new Stage();
    stage.ask().events.onEnd(EndReason.CONNECTREFUSED);
    expect([stage.got.slice(2, 4), stage.closed]).toEqual([[5, 5], true]);
  });

  test('gets another circuit when one goes before the exit answers, a few times', () => {
    const stage = new Stage();
    let stream = stage.ask();
    for (let i = 0; i < 2; i++) {
      stage.origins.last.events.onClosed(1, 3);
      stream.events.onEnd(EndReason.DESTROY);
      expect(stage.closed).toBe(false);
      stream = stage.build();
    }
    stage.origins.last.events.onClosed(1, 3);
    stream.events.onEnd(EndReason.DESTROY);
    expect([stage.got.slice(2, 4), stage.closed]).toEqual([[5, 6], true]);
  });

  test('does not get out of this machine', () => {
    const stage = new Stage();
    stage.connection.onBytes(GREETING);
    stage.connection.onBytes(connectTo(9));
    expect([stage.got.slice(2, 4), stage.closed, stage.asked]).toEqual([[5, 2], true, 0]);
  });

  test('that speaks no SOCKS is hung up on', () => {
    const stage = new Stage();
    stage.connection.onBytes(bytes('GET / HTTP/1.1\r\n'));
    expect([stage.got, stage.closed]).toEqual([[], true]);
  });
});
