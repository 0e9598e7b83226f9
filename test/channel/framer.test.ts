/** Chunks to cells: whatever way a stream is cut, the same cells come out. */
import { describe, expect, test } from 'bun:test';
import { GIVE_BACK_BYTES } from '../../src/bytes/chunk.ts';
import { buildCell, buildVariableCell, CELL_BYTES } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { BufferPool } from '../../src/channel/buffer-pool.ts';
import { Channel, type ChannelShared, CLOSED, OPEN } from '../../src/channel/channel.ts';
import { Framer } from '../../src/channel/framer.ts';
import { seeded } from '../shm/seeded.ts';

interface Seen {
  readonly command: number;
  readonly circId: number;
  readonly first: number;
  readonly last: number;
}

function setup(onCell: (channel: Channel, seen: Seen) => void = () => {}) {
  const carries = new BufferPool(CELL_BYTES, 4);
  const seen: Seen[] = [];
  /** How many cells had come at each end of a buffer. */
  const ended: number[] = [];
  const channel = new Channel(0, 0, {} as ChannelShared, false, new Uint8Array(4), 1);
  channel.state = OPEN;
  const framer = new Framer(
    {
      onFixedCell(_, command, circId, bytes, at) {
        const one = { command, circId, first: bytes[at + 5]!, last: bytes[at + CELL_BYTES - 1]! };
        seen.push(one);
        // Cells are the receiver's to change.
        bytes.fill(0xee, at, at + CELL_BYTES);
        onCell(channel, one);
      },
      onChunkEnd() {
        ended.push(seen.length);
      },
      onVariableCell(_, command) {
        seen.push({ command, circId: -1, first: -1, last: -1 });
        onCell(channel, seen[seen.length - 1]!);
      },
    },
    carries,
  );
  return { carries, seen, ended, channel, framer };
}

function stream(random: () => number, count: number): { bytes: Uint8Array; expected: Seen[] } {
  const parts: Uint8Array[] = [];
  const expected: Seen[] = [];
  for (let i = 0; i < count; i++) {
    if (random() < 0.3) {
      parts.push(buildVariableCell(0, Command.VPADDING, new Uint8Array(Math.floor(random() * 1500)), 4));
      expected.push({ command: Command.VPADDING, circId: -1, first: -1, last: -1 });
    } else {
      const body = new Uint8Array(509).fill(i & 127);
      parts.push(buildCell(0x80000000 + i, Command.RELAY, body));
      expected.push({ command: Command.RELAY, circId: 0x80000000 + i, first: i & 127, last: i & 127 });
    }
  }
  return { bytes: new Uint8Array(Buffer.concat(parts)), expected };
}

describe('Framer', () => {
  test('finds the same cells however the stream is cut, and holds no carry at a boundary', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed);
      const { bytes, expected } = stream(random, 40);
      const { carries, seen, channel, framer } = setup();
      const longest = [1, 3, 8, 513, 514, 515, 3000][seed % 7]!;
      for (let at = 0; at < bytes.length; ) {
        const length = Math.min(bytes.length - at, 1 + Math.floor(random() * longest));
        framer.feed(channel, bytes.slice(at, at + length));
        expect(carries.lent).toBe(channel.carryBytes > 0 ? 1 : 0);
        at += length;
      }
      expect(seen).toEqual(expected);
      expect([channel.carryBytes, channel.skipBytes, carries.lent]).toEqual([0, 0, 0]);
    }
  });

  test('a variable cell of the longest length is skipped without being kept', () => {
    const { carries, seen, channel, framer } = setup();
    const bytes = new Uint8Array([
      ...buildVariableCell(0, Command.VPADDING, new Uint8Array(0xffff), 4),
      ...buildCell(9, Command.RELAY, new Uint8Array(0)),
    ]);
    for (let at = 0; at < bytes.length; at += 1000) {
      framer.feed(channel, bytes.slice(at, at + 1000));
      expect(carries.lent === 0 || at + 1000 > 0xffff).toBe(true);
    }
    expect(seen.map(({ command }) => command)).toEqual([Command.VPADDING, Command.RELAY]);
  });

  test('hands nothing on once the channel is closed, in the chunk or across a split', () => {
    const bytes = new Uint8Array(Buffer.concat([1, 2, 3].map((id) => buildCell(id, 3, new Uint8Array(0)))));
    for (const cut of [0, 100, 514, 700]) {
      const { carries, seen, channel, framer } = setup((which) => {
        which.state = CLOSED;
      });
      if (cut > 0) framer.feed(channel, bytes.slice(0, cut));
      if (channel.state === OPEN) framer.feed(channel, bytes.slice(cut));
      expect(seen.length).toBe(1);
      expect(carries.lent).toBe(0);
    }
  });

  test('an empty chunk is nothing', () => {
    const { seen, channel, framer } = setup();
    framer.feed(channel, new Uint8Array(0));
    expect(seen).toEqual([]);
    expect(channel.carry).toBe(null);
  });
});

test('the end of each buffer is told after its last cell, also of a carried one', () => {
  const { framer, channel, seen, ended } = setup();
  const stream = new Uint8Array(3 * CELL_BYTES);
  for (let i = 0; i < 3; i++) stream.set(buildCell(i + 1, Command.RELAY, new Uint8Array(0)), i * CELL_BYTES);
  framer.feed(channel, stream.slice(0, CELL_BYTES + 100));
  expect([seen.length, ended]).toEqual([1, [1]]);
  framer.feed(channel, stream.slice(CELL_BYTES + 100));
  // The cell that was cut in two lay in a buffer of its own.
  expect([seen.length, ended]).toEqual([3, [1, 2, 3]]);
});

test('the memory of a long chunk is given back once all its cells are served, also of a last one that is cut', () => {
  const { framer, channel, seen } = setup();
  const cells = Math.ceil(GIVE_BACK_BYTES / CELL_BYTES) + 1;
  const stream = new Uint8Array(cells * CELL_BYTES);
  for (let i = 0; i < cells; i++) {
    stream.set(buildCell(i + 1, Command.RELAY, new Uint8Array(509).fill(i & 127)), i * CELL_BYTES);
  }
  const chunk = stream.slice(0, stream.length - 100);
  framer.feed(channel, chunk);
  expect(chunk.length).toBe(0);
  framer.feed(channel, stream.slice(stream.length - 100));
  expect(seen.map(({ circId, last }) => [circId, last])).toEqual(
    Array.from({ length: cells }, (_, i) => [i + 1, i & 127]),
  );
});
