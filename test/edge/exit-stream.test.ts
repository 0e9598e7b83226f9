/** A stream's end at its destination: buffers, pauses, refusals, last bytes. */
import { describe, expect, test } from 'bun:test';
import { EndReason } from '../../src/cell/reason.ts';
import { BufferPool } from '../../src/channel/buffer-pool.ts';
import type { ExitPlane } from '../../src/edge/exit-plane.ts';
import {
  type ConnectDeadline,
  EXIT_BUFFER_BYTES,
  ExitStream,
  type ExitWaker,
} from '../../src/edge/exit-stream.ts';
import { filled } from '../circuit/rig.ts';
import { SimConnection } from '../sim/destinations.ts';

class Bench implements ExitPlane, ExitWaker {
  readonly buffers = new BufferPool(EXIT_BUFFER_BYTES, 2);
  incomingBytes = 0;
  dirty: ExitStream[] = [];
  readWaiting: ExitStream[] = [];
  writeWaiting: ExitStream[] = [];
  sockets = 0;
  lingering: ExitStream[] = [];
  nowMs = 0;
  mayReadMore = true;
  mayWriteNow = true;
  read = 0;
  written = 0;
  wakes = 0;
  passedOn: number[] = [];
  connected = 0;
  readonly stream = new ExitStream(this, this);
  connection!: SimConnection;
  deadline!: ConnectDeadline;

  now(): number {
    return this.nowMs;
  }
  wake(): void {
    this.wakes++;
  }
  drained(bytes: number): void {
    this.passedOn.push(bytes);
  }
  onConnected(): void {
    this.connected++;
  }
  onRead(bytes: number): boolean {
    this.read += bytes;
    return this.mayReadMore;
  }
  mayWrite(): boolean {
    return this.mayWriteNow;
  }
  onWritten(bytes: number): void {
    this.written += bytes;
  }

  /** Begin to connect to a public address. */
  begin(): this {
    const deadline = this.stream.beginConnect(Uint8Array.of(192, 0, 2, 9), 80, 1000);
    this.deadline = deadline;
    this.connection = new SimConnection({ host: '192.0.2.9', port: 80, bind: null }, this.stream, () => {});
    return this;
  }

  open(): this {
    this.begin();
    expect(this.deadline).toMatchObject({ stream: this.stream, atMs: 1000 });
    expect(this.connection.accept()).toBe(true);
    expect(this.deadline.stream).toBeNull();
    return this;
  }

  /** The end of a turn. */
  turn(): void {
    for (const stream of this.dirty.splice(0)) stream.flush();
  }

  pull(max: number): Uint8Array {
    const bytes = new Uint8Array(max);
    return bytes.subarray(0, this.stream.pull(bytes, 0, max));
  }

  expectLetGo(): void {
    expect([this.sockets, this.buffers.lent, this.incomingBytes, this.stream.heldBytes]).toEqual([
      0, 0, 0, 0,
    ]);
  }
}

describe('bytes of the client', () => {
  test('make one write per turn, from borrowed buffers', () => {
    const bench = new Bench().open();
    for (let i = 0; i < 50; i++) bench.stream.take(filled(498, i));
    expect(bench.stream.heldBytes).toBe(50 * 498);
    expect(bench.buffers.lent).toBe(1);
    expect(bench.dirty.length).toBe(1);
    bench.turn();
    expect(bench.connection.writes).toBe(1);
    expect(bench.connection.received.length).toBe(50 * 498);
    expect([bench.stream.heldBytes, bench.buffers.lent]).toEqual([0, 0]);
    expect(bench.passedOn).toEqual([50 * 498]);
  });

  test('keep their order over many buffers and short writes', () => {
    const bench = new Bench().open();
    const all: number[] = [];
    bench.connection.capacity = 10_000;
    for (let i = 0; i < 400; i++) {
      const data = Uint8Array.from({ length: 498 }, (_, at) => (i * 31 + at) & 0xff);
      all.push(...data);
      bench.stream.take(data);
    }
    bench.turn();
    while (bench.stream.heldBytes > 0) {
      const before = bench.connection.received.length;
      bench.connection.drain(7777);
      bench.turn();
      expect(bench.connection.received.length).toBeGreaterThan(before);
    }
    expect(bench.connection.received).toEqual(all);
    expect(bench.buffers.lent).toBe(0);
    expect(bench.written).toBe(all.length);
  });

  test('are offered again only once the socket has room', () => {
    const bench = new Bench().open();
    bench.connection.capacity = 0;
    bench.stream.take(filled(10, 1));
    bench.turn();
    bench.stream.take(filled(10, 2));
    expect(bench.dirty).toEqual([]);
    bench.connection.drain(20);
    bench.turn();
    expect(bench.connection.received).toEqual([...filled(10, 1), ...filled(10, 2)]);
  });

  test('wait for bandwidth', () => {
    const bench = new Bench().open();
    bench.mayWriteNow = false;
    bench.stream.take(filled(10, 1));
    bench.turn();
    expect([bench.connection.writes, bench.writeWaiting.length]).toEqual([0, 1]);
    bench.mayWriteNow = true;
    for (const stream of bench.writeWaiting.splice(0)) stream.onDrain();
    bench.turn();
    expect(bench.connection.received.length).toBe(10);
  });
});

describe('bytes of the destination', () => {
  test('are pulled in any portions', () => {
    const bench = new Bench().open();
    bench.connection.say(Uint8Array.of(1, 2, 3));
    bench.connection.say(Uint8Array.of(4, 5));
    expect(bench.incomingBytes).toBe(5 + 2 * 256);
    expect([...bench.pull(2)]).toEqual([1, 2]);
    expect([...bench.pull(2)]).toEqual([3, 4]);
    expect([...bench.pull(2)]).toEqual([5]);
    expect([...bench.pull(2)]).toEqual([]);
    expect([bench.incomingBytes, bench.read]).toEqual([0, 5]);
    expect(bench.wakes).toBe(2);
  });

  test('pause the socket while many wait', () => {
    const bench = new Bench().open();
    bench.connection.say(filled(60_000, 1));
    expect(bench.connection.paused).toBe(false);
    bench.connection.say(filled(10_000, 1));
    expect(bench.connection.paused).toBe(true);
    bench.pull(50_000);
    expect(bench.connection.paused).toBe(true);
    bench.pull(10_000);
    expect(bench.connection.paused).toBe(false);
  });

  test('pause it also while many small chunks do', () => {
    const bench = new Bench().open();
    let chunks = 0;
    const isPaused = (): boolean => bench.connection.paused;
    for (; !isPaused(); chunks++) bench.connection.say(Uint8Array.of(chunks));
    expect(chunks).toBeLessThan(300);
    expect(bench.incomingBytes).toBeLessThan(66_000);
    for (let i = 0; i < chunks - 64; i++) {
      expect(isPaused()).toBe(true);
      bench.pull(1);
    }
    expect(isPaused()).toBe(false);
  });

  test('pause it for bandwidth, too, and it goes on when neither holds it', () => {
    const bench = new Bench().open();
    bench.mayReadMore = false;
    bench.connection.say(filled(70_000, 1));
    expect([bench.connection.paused, bench.readWaiting.length]).toEqual([true, 1]);
    bench.pull(70_000);
    expect(bench.connection.paused).toBe(true);
    bench.stream.resumeReading();
    expect(bench.connection.paused).toBe(false);
  });
});

test('what is held for either side counts with the buffers and chunks that it lies in', () => {
  const bench = new Bench().open();
  const pooled = (): number => bench.buffers.heldBytes - bench.buffers.idleBytes + bench.incomingBytes;
  bench.connection.capacity = 0;
  bench.stream.take(Uint8Array.of(1));
  bench.turn();
  expect([bench.stream.heldBytes, bench.stream.storedBytes]).toEqual([1, EXIT_BUFFER_BYTES]);
  bench.stream.take(filled(EXIT_BUFFER_BYTES, 1));
  expect(bench.stream.storedBytes).toBe(2 * EXIT_BUFFER_BYTES);
  bench.connection.say(filled(100, 1));
  bench.pull(60);
  expect(bench.stream.storedBytes).toBe(pooled());
  bench.connection.drain(1e9);
  bench.turn();
  bench.pull(40);
  expect([bench.stream.storedBytes, pooled()]).toEqual([0, 0]);
});

describe('the end', () => {
  test('comes when all is pulled', () => {
    const bench = new Bench().open();
    bench.connection.say(filled(10, 1));
    bench.connection.finish();
    expect(bench.stream.endReason).toBe(0);
    bench.pull(10);
    expect(bench.stream.endReason).toBe(EndReason.DONE);
    bench.connection.reset('ECONNRESET');
    expect(bench.stream.endReason).toBe(EndReason.DONE);
    bench.stream.close();
    bench.expectLetGo();
  });

  test('of a connection that breaks says how', () => {
    const bench = new Bench().open();
    bench.stream.take(filled(10, 1));
    bench.connection.reset('ECONNRESET');
    expect(bench.stream.endReason).toBe(EndReason.CONNRESET);
    bench.turn();
    bench.stream.close();
    bench.expectLetGo();
  });

  test('by the client passes on what is held, then closes', () => {
    const bench = new Bench().open();
    bench.connection.capacity = 4;
    bench.stream.take(filled(10, 1));
    bench.stream.close();
    bench.turn();
    expect([bench.connection.ended, bench.lingering.length]).toEqual([false, 1]);
    bench.connection.say(filled(5, 1));
    expect(bench.incomingBytes).toBe(0);
    bench.connection.drain(100);
    bench.turn();
    expect([bench.connection.ended, bench.connection.received.length]).toEqual([true, 10]);
    bench.expectLetGo();
  });

  test('while it lingers, what comes waits for bandwidth all the same', () => {
    const bench = new Bench().open();
    bench.connection.capacity = 0;
    bench.stream.take(filled(10, 1));
    bench.stream.close();
    bench.turn();
    bench.mayReadMore = false;
    bench.connection.say(filled(5, 1));
    bench.connection.say(filled(5, 1));
    expect([bench.connection.paused, bench.readWaiting, bench.read]).toEqual([true, [bench.stream], 5]);
    bench.mayReadMore = true;
    for (const stream of bench.readWaiting.splice(0)) stream.resumeReading();
    expect([bench.connection.paused, bench.read, bench.incomingBytes]).toEqual([false, 10, 0]);
    bench.connection.drain(100);
    bench.turn();
    expect(bench.connection.received.length).toBe(10);
    bench.expectLetGo();
  });

  test('while it lingers the connection may break', () => {
    const bench = new Bench().open();
    bench.connection.capacity = 0;
    bench.stream.take(filled(10, 1));
    bench.stream.close();
    bench.turn();
    bench.connection.reset('EPIPE');
    expect(bench.stream.isLingering).toBe(false);
    bench.expectLetGo();
  });

  test('before it is connected closes what comes up later', () => {
    const bench = new Bench().begin();
    bench.stream.take(filled(10, 1));
    bench.stream.close();
    expect([bench.sockets, bench.buffers.lent]).toEqual([1, 0]);
    expect(bench.connection.accept()).toBe(false);
    bench.expectLetGo();
  });

  test('a connection that fails after it was given up is only counted out', () => {
    const bench = new Bench().begin();
    expect(bench.stream.giveUp(EndReason.TIMEOUT)).toBe(true);
    expect(bench.stream.giveUp(EndReason.TIMEOUT)).toBe(false);
    bench.connection.fail('ECONNREFUSED');
    expect(bench.stream.endReason).toBe(EndReason.TIMEOUT);
    bench.stream.close();
    bench.expectLetGo();
  });
});
