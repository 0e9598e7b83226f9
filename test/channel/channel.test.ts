/** An open channel over a wire that takes what it pleases: order, buffers, control cells, pauses. */
import { describe, expect, test } from 'bun:test';
import { NO_SLOT, Slab } from '../../src/bytes/slab.ts';
import { buildCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { BufferPool } from '../../src/channel/buffer-pool.ts';
import {
  Channel,
  type ChannelShared,
  CONTROL_QUEUE_CELLS_MAX,
  FLUSH_BYTES,
  HELD_IN_LINE,
  NOT_HELD,
  OPEN,
  PAUSED_BY_RING,
  STAGING_CELLS,
} from '../../src/channel/channel.ts';
import type { Wire } from '../../src/channel/wire.ts';
import { seeded } from '../shm/seeded.ts';

class TestWire implements Wire {
  /** How many bytes the next writes take. */
  room = Number.POSITIVE_INFINITY;
  writes = 0;
  readonly log: string[] = [];
  private readonly taken: Uint8Array[] = [];

  write(bytes: Uint8Array, from: number, length: number): number {
    this.writes++;
    const n = Math.min(length, this.room);
    this.room -= n;
    this.taken.push(bytes.slice(from, from + n));
    return n;
  }

  acknowledge(): void {
    this.log.push('acknowledge');
  }

  pause(): void {
    this.log.push('pause');
  }

  resume(): void {
    this.log.push('resume');
  }

  close(): void {
    this.log.push('close');
  }

  abort(): void {
    this.log.push('abort');
  }

  /** First body bytes of the whole cells taken so far. */
  get cells(): number[] {
    const all = Buffer.concat(this.taken);
    const out: number[] = [];
    for (let at = 0; at + CELL_BYTES <= all.length; at += CELL_BYTES) out.push(all.readUInt16BE(at + 5));
    return out;
  }

  get circIds(): number[] {
    const all = Buffer.concat(this.taken);
    return Array.from({ length: Math.floor(all.length / CELL_BYTES) }, (_, i) =>
      all.readUInt32BE(i * CELL_BYTES),
    );
  }

  get bytes(): number {
    return this.taken.reduce((n, part) => n + part.length, 0);
  }
}

function setup() {
  const dirty: Channel[] = [];
  const queued: Uint8Array[] = [];
  let limit = (_: Channel, bytes: number): number => bytes;
  let overflows = 0;
  let written = 0;
  const shared: ChannelShared = {
    staging: new BufferPool(STAGING_CELLS * CELL_BYTES, 4),
    parked: new Slab(CELL_BYTES),
    source: {
      refill(channel) {
        while (queued.length > 0 && !channel.congested) channel.put(queued.shift()!, 0);
      },
    },
    mayWrite: (channel, bytes) => limit(channel, bytes),
    markDirty: (channel) => dirty.push(channel),
    onWritten: (_, bytes) => {
      written += bytes;
    },
    onControlOverflow: () => {
      overflows++;
    },
  };
  const wire = new TestWire();
  const channel = new Channel(0, 0, shared, true, new Uint8Array(4), 1);
  channel.wire = wire;
  channel.state = OPEN;
  const setLimit = (next: typeof limit): void => {
    limit = next;
    channel.limited = true;
  };
  return {
    shared,
    wire,
    channel,
    dirty,
    queued,
    setLimit,
    overflows: () => overflows,
    written: () => written,
  };
}

function cell(n: number): Uint8Array {
  return buildCell(1, 3, Uint8Array.of(n >> 8, n));
}

describe('sending', () => {
  test('stages until flushed, in one write, and gives the buffer back', () => {
    const { shared, wire, channel, dirty, written } = setup();
    for (let i = 0; i < 10; i++) channel.put(cell(i), 0);
    expect([wire.writes, dirty.length, shared.staging.lent, channel.stagedBytes]).toEqual([0, 1, 1, 5140]);
    channel.flush();
    expect(wire.cells).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([wire.writes, shared.staging.lent, channel.stagedBytes, written()]).toEqual([1, 0, 0, 5140]);
    channel.flush();
    expect(wire.writes).toBe(1);
  });

  test('copies a cell out of the middle of a bigger buffer', () => {
    const { wire, channel } = setup();
    const big = new Uint8Array(2000);
    big.set(cell(700), 33);
    channel.put(big, 33);
    channel.flush();
    expect(wire.cells).toEqual([700]);
  });

  test('takes many cells at once, in order behind what is staged, each with the circuit id that it is to have', () => {
    const { channel, wire } = setup();
    const many = new Uint8Array(100 + 64 * CELL_BYTES);
    for (let i = 0; i < 64; i++) many.set(cell(i + 1), 100 + i * CELL_BYTES);
    channel.put(cell(0), 0);
    channel.putCells(0x80000007, many, 100, 3);
    channel.flush();
    expect(wire.cells).toEqual([0, 1, 2, 3]);
    expect(wire.circIds.slice(1)).toEqual([0x80000007, 0x80000007, 0x80000007]);
    for (let i = 0; i < 62; i++) channel.put(cell(i), 0);
    channel.putCells(9, many, 100, 64);
    expect(wire.cells.length).toBe(4 + 62 + 64);
    expect(channel.stagedBytes).toBe(0);
  });

  test('writes by itself past 32 KB', () => {
    const { wire, channel, shared } = setup();
    for (let i = 0; i < FLUSH_BYTES / CELL_BYTES; i++) channel.put(cell(i), 0);
    expect(wire.writes).toBe(1);
    expect(wire.bytes).toBe(FLUSH_BYTES);
    expect(shared.staging.lent).toBe(0);
  });

  test('is congested when the limit allows less, and drains only once it is let go', () => {
    const { wire, channel, queued, setLimit, shared } = setup();
    let allowed = 1000;
    setLimit((held, bytes) => {
      const granted = Math.min(bytes, allowed);
      allowed -= granted;
      if (granted < bytes) held.writeHeld = HELD_IN_LINE;
      return granted;
    });
    for (let i = 0; i < 4; i++) channel.put(cell(i), 0);
    channel.flush();
    expect([channel.congested, wire.bytes, channel.stagedBytes]).toEqual([true, 1000, 4 * CELL_BYTES - 1000]);
    queued.push(cell(4), cell(5));
    channel.drain();
    expect(wire.writes).toBe(1);
    allowed = 10_000;
    channel.writeHeld = NOT_HELD;
    channel.drain();
    channel.flush();
    expect(wire.cells).toEqual([0, 1, 2, 3, 4, 5]);
    expect(shared.staging.lent).toBe(0);
  });

  test('writes nothing while nothing is allowed, and all of it when it is about to close', () => {
    const { wire, channel, setLimit } = setup();
    setLimit((held) => {
      held.writeHeld = HELD_IN_LINE;
      return 0;
    });
    for (let i = 0; i < 3; i++) channel.put(cell(i), 0);
    channel.flush();
    expect([channel.congested, wire.writes]).toEqual([true, 0]);
    channel.flushLast();
    expect(wire.cells).toEqual([0, 1, 2]);
  });

  test('about to close writes what was staged just now though nothing is allowed, unless the socket refused', () => {
    const { wire, channel, setLimit } = setup();
    setLimit((held) => {
      held.writeHeld = HELD_IN_LINE;
      return 0;
    });
    channel.put(cell(0), 0);
    channel.flushLast();
    expect([wire.cells, channel.writeHeld, channel.congested]).toEqual([[0], NOT_HELD, false]);
    setLimit((_, bytes) => bytes);
    wire.room = 0;
    channel.put(cell(1), 0);
    channel.flush();
    wire.room = 514;
    channel.flushLast();
    expect([wire.cells, channel.congested]).toEqual([[0], true]);
  });

  test('is congested when the wire takes less, and goes on where it stopped', () => {
    const { wire, channel, queued } = setup();
    wire.room = 700;
    for (let i = 0; i < 3; i++) channel.put(cell(i), 0);
    channel.flush();
    expect([channel.congested, channel.stagedBytes]).toEqual([true, 3 * 514 - 700]);
    queued.push(cell(3), cell(4));
    wire.room = 100;
    channel.drain();
    expect(channel.congested).toBe(true);
    expect(queued.length).toBe(2);
    wire.room = Number.POSITIVE_INFINITY;
    channel.drain();
    channel.flush();
    expect(wire.cells).toEqual([0, 1, 2, 3, 4]);
    expect(channel.congested).toBe(false);
  });

  test('a drain without need does nothing', () => {
    const { wire, channel } = setup();
    channel.put(cell(1), 0);
    channel.drain();
    expect(wire.writes).toBe(0);
  });

  test('the tail of the handshake goes first', () => {
    const { wire, channel, queued } = setup();
    channel.stageRaw(cell(1).subarray(0, 300));
    expect(channel.congested).toBe(true);
    channel.putControl(cell(2), 0);
    queued.push(cell(3));
    channel.drain();
    channel.flush();
    const head = cell(1).subarray(0, 300);
    expect(wire.bytes).toBe(300 + 2 * CELL_BYTES);
    expect(head.length).toBe(300);
  });

  test('a write that finds the peer gone leaves no buffer behind', () => {
    const { shared, wire, channel } = setup();
    const carries = new BufferPool(CELL_BYTES, 1);
    wire.write = () => {
      channel.release(carries);
      return 0;
    };
    channel.put(cell(1), 0);
    channel.flush();
    expect(shared.staging.lent).toBe(0);
    expect(channel.congested).toBe(false);
    channel.putControl(cell(2), 0);
    channel.drain();
    expect(shared.parked.used).toBe(0);
  });
});

describe('control cells', () => {
  test('go before queued cells, in order, and are bounded', () => {
    const { shared, wire, channel, queued, overflows } = setup();
    wire.room = 0;
    channel.put(cell(0), 0);
    channel.flush();
    queued.push(cell(9000));
    for (let i = 1; i <= CONTROL_QUEUE_CELLS_MAX; i++) channel.putControl(cell(i), 0);
    expect([channel.controlCells, overflows()]).toEqual([CONTROL_QUEUE_CELLS_MAX, 0]);
    channel.putControl(cell(5), 0);
    expect(overflows()).toBe(1);
    while (channel.congested) {
      wire.room = 100_000;
      channel.drain();
    }
    channel.flush();
    wire.room = 100_000;
    channel.drain();
    channel.flush();
    const expected = Array.from({ length: CONTROL_QUEUE_CELLS_MAX + 1 }, (_, i) => i);
    expect(wire.cells).toEqual([...expected, 9000]);
    expect(shared.parked.used).toBe(0);
    expect(channel.controlCells).toBe(0);
  });

  test('are given back when the channel closes', () => {
    const { shared, wire, channel } = setup();
    const carries = new BufferPool(CELL_BYTES, 1);
    wire.room = 0;
    channel.put(cell(0), 0);
    channel.flush();
    channel.carry = carries.take();
    for (let i = 0; i < 5; i++) channel.putControl(cell(i), 0);
    expect(shared.parked.used).toBe(5);
    channel.release(carries);
    expect([shared.parked.used, shared.staging.lent, carries.lent]).toEqual([0, 0, 0]);
    expect(NO_SLOT).toBe(-1);
  });
});

test('any mixture of writes, drains and short wires keeps the order', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed);
    const { shared, wire, channel, queued } = setup();
    let next = 0;
    for (let step = 0; step < 3000; step++) {
      const what = random();
      if (what < 0.6) {
        if (channel.congested) queued.push(cell(next++));
        else channel.put(cell(next++), 0);
      } else if (what < 0.8) {
        if (!channel.congested) channel.flush();
      } else {
        wire.room = Math.floor(random() * 4000);
        channel.drain();
      }
    }
    wire.room = Number.POSITIVE_INFINITY;
    channel.drain();
    channel.flush();
    expect(wire.cells).toEqual(Array.from({ length: next }, (_, i) => i & 0xffff));
    expect(shared.staging.lent).toBe(0);
  }
});

const ANOTHER_REASON = 2;

test('reads only while no reason to pause is left', () => {
  const { wire, channel } = setup();
  channel.setPaused(PAUSED_BY_RING, true);
  channel.setPaused(PAUSED_BY_RING, true);
  channel.setPaused(ANOTHER_REASON, true);
  channel.setPaused(PAUSED_BY_RING, false);
  expect(wire.log).toEqual(['pause']);
  channel.setPaused(ANOTHER_REASON, false);
  channel.setPaused(ANOTHER_REASON, false);
  expect(wire.log).toEqual(['pause', 'resume']);
});
