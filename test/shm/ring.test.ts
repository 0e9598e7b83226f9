import { expect, test } from 'bun:test';
import { CELL_BYTES } from '../../src/cell/cell.ts';
import { Doorbell } from '../../src/shm/doorbell.ts';
import { Ring, SLOT_HEADER_BYTES, SLOT_STRIDE, SlotKind, slotsPerRing } from '../../src/shm/ring.ts';
import type { RingReport, RingTask } from './ring-worker.ts';
import { seeded } from './seeded.ts';
import { Thread } from './thread.ts';

function put(ring: Ring, control: boolean, number: number): boolean {
  const at = ring.reserve(control);
  if (at < 0) return false;
  ring.u32[at >> 2] = control ? SlotKind.LEG_DESTROY : SlotKind.CELL;
  ring.u32[(at >> 2) + 1] = number;
  ring.u8.fill(number & 255, at + SLOT_HEADER_BYTES, at + SLOT_HEADER_BYTES + CELL_BYTES);
  ring.commit();
  return true;
}

function take(ring: Ring): number {
  const at = ring.peek();
  if (at < 0) return -1;
  const number = ring.u32[(at >> 2) + 1]!;
  const payload = ring.u8.subarray(at + SLOT_HEADER_BYTES, at + SLOT_HEADER_BYTES + CELL_BYTES);
  expect(payload.every((byte) => byte === (number & 255))).toBe(true);
  ring.advance();
  return number;
}

test('slots keep off each other and off the indexes, each aligned to a cache line', () => {
  expect(SLOT_HEADER_BYTES + CELL_BYTES).toBeLessThanOrEqual(SLOT_STRIDE);
  const sab = Ring.create(16);
  const ring = new Ring(sab);
  const seen = new Set<number>();
  for (let i = 0; i < 16; i++) {
    const at = ring.reserve(true);
    expect(at % 64).toBe(0);
    expect(at + SLOT_STRIDE).toBeLessThanOrEqual(sab.byteLength);
    seen.add(at);
    ring.u8.fill(0xff, at, at + SLOT_HEADER_BYTES + CELL_BYTES);
    ring.commit();
  }
  expect(seen.size).toBe(16);
  ring.publish();
  expect(ring.used()).toBe(16);
});

test('nothing is seen before it is published, and all of it after, in order', () => {
  const sab = Ring.create(128);
  const producer = new Ring(sab);
  const consumer = new Ring(sab);
  expect(consumer.peek()).toBe(-1);
  for (let i = 0; i < 63; i++) expect(put(producer, false, i)).toBe(true);
  expect(producer.staged).toBe(63);
  expect(consumer.hasWork()).toBe(false);
  expect(consumer.peek()).toBe(-1);
  producer.publish();
  expect(consumer.hasWork()).toBe(true);
  for (let i = 0; i < 63; i++) expect(take(consumer)).toBe(i);
  expect(take(consumer)).toBe(-1);
});

test('the 64th slot publishes by itself', () => {
  const sab = Ring.create(128);
  const producer = new Ring(sab);
  const consumer = new Ring(sab);
  for (let i = 0; i < 64; i++) put(producer, false, i);
  expect(producer.staged).toBe(0);
  expect(take(consumer)).toBe(0);
});

test('peek and reserve stay where they are until advance and commit', () => {
  const sab = Ring.create(8);
  const producer = new Ring(sab);
  const consumer = new Ring(sab);
  expect(producer.reserve(false)).toBe(producer.reserve(false));
  put(producer, false, 1);
  put(producer, false, 2);
  producer.publish();
  expect(consumer.peek()).toBe(consumer.peek());
  expect(take(consumer)).toBe(1);
  expect(take(consumer)).toBe(2);
});

for (const capacity of [2, 4, 8, 16, 128, 2048]) {
  test(`a ring of ${capacity} keeps an eighth for control kinds and then is full for all`, () => {
    const sab = Ring.create(capacity);
    const producer = new Ring(sab);
    const consumer = new Ring(sab);
    const kept = Math.max(1, capacity / 8);
    let put_ = 0;
    while (put(producer, false, put_)) put_++;
    expect(put_).toBe(capacity - kept);
    // A full ring has shown what it holds: its reader can make room.
    expect(producer.staged).toBe(0);
    for (let i = 0; i < kept; i++) expect(put(producer, true, put_++)).toBe(true);
    expect(put(producer, true, -1)).toBe(false);
    expect(producer.used()).toBe(capacity);
    for (let i = 0; i < capacity; i++) expect(take(consumer)).toBe(i);
    expect(take(consumer)).toBe(-1);
    consumer.release();
    expect(put(producer, false, 7)).toBe(true);
  });
}

test('a slot that was advanced over is not written again before it is released', () => {
  const sab = Ring.create(16);
  const producer = new Ring(sab);
  const consumer = new Ring(sab);
  for (let i = 0; i < 16; i++) put(producer, true, i);
  producer.publish();
  for (let i = 0; i < 3; i++) take(consumer);
  expect(producer.reserve(true)).toBe(-1);
  expect(consumer.release()).toBe(false);
  expect(producer.reserve(true)).toBeGreaterThan(0);
});

test('a producer that wants space is told, once, and not asked for at all when there is some', () => {
  const sab = Ring.create(8);
  const bells = Doorbell.create(2);
  const producer = new Ring(sab, new Doorbell(bells, 1), new Doorbell(bells, 0));
  const consumer = new Ring(sab, new Doorbell(bells, 1), new Doorbell(bells, 0));
  expect(producer.wantSpace(false)).toBe(true);
  while (put(producer, true, 0));
  expect(producer.wantSpace(true)).toBe(false);
  take(consumer);
  expect(consumer.release()).toBe(true);
  expect(consumer.release()).toBe(false);
  // One slot of eight is kept: a cell still does not fit.
  expect(producer.wantSpace(false)).toBe(false);
  expect(producer.wantSpace(true)).toBe(true);
  take(consumer);
  expect(consumer.release()).toBe(false);
});

test('the indexes wrap at 32 bits', () => {
  const sab = Ring.create(8);
  const words = new Int32Array(sab);
  // HEAD and TAIL each stand at the start of their own cache line, after the line with the capacity.
  words[16] = 0x7ffffffd;
  words[32] = 0x7ffffffd;
  const producer = new Ring(sab);
  const consumer = new Ring(sab);
  for (let i = 0; i < 50; i++) {
    expect(put(producer, false, i)).toBe(true);
    producer.publish();
    expect(producer.used()).toBe(1);
    expect(take(consumer)).toBe(i);
    consumer.release();
  }
  expect(words[16]!).toBeLessThan(0);
});

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`against a plain queue, seed ${seed}`, () => {
    const random = seeded(seed);
    const capacity = [2, 4, 8, 16, 32, 64, 128, 256][seed - 1]!;
    const sab = Ring.create(capacity);
    const producer = new Ring(sab);
    const consumer = new Ring(sab);
    const staged: number[] = [];
    const shown: number[] = [];
    let unreleasedMax = 0;
    let number = 0;
    for (let step = 0; step < 5_000; step++) {
      const what = random();
      if (what < 0.5) {
        const control = random() < 0.2;
        const inside = staged.length + shown.length;
        const limit = control ? capacity : capacity - Math.max(1, capacity >> 3);
        const done = put(producer, control, number);
        // Slots advanced over but not released may refuse us early; nothing may let us in late.
        if (done) expect(inside).toBeLessThan(limit);
        else expect(inside + unreleasedMax).toBeGreaterThanOrEqual(limit);
        if (done) staged.push(number++);
        if (!done || producer.staged === 0) shown.push(...staged.splice(0));
      } else if (what < 0.6) {
        producer.publish();
        shown.push(...staged.splice(0));
      } else if (what < 0.95) {
        expect(take(consumer)).toBe(shown.shift() ?? -1);
        unreleasedMax = Math.min(capacity, unreleasedMax + 1);
      } else {
        consumer.release();
        unreleasedMax = 0;
        expect(consumer.hasWork()).toBe(shown.length > 0);
        expect(consumer.used()).toBe(shown.length);
      }
    }
  });
}

/** Fill a span of so many slots with a number; false when there is no room in a row. */
function putSpan(ring: Ring, slots: number, number: number): boolean {
  const at = ring.reserveSpan(slots);
  if (at < 0) return false;
  ring.u32[at >> 2] = SlotKind.CELLS;
  ring.u32[(at >> 2) + 1] = number;
  ring.u32[(at >> 2) + 2] = slots;
  ring.u8.fill(number & 255, at + SLOT_HEADER_BYTES, at + slots * SLOT_STRIDE);
  ring.commit(slots);
  return true;
}

/** Take a slot or a span, past slots that no span fitted. Returns its number, or -1. */
function takeAny(ring: Ring): number {
  let at = ring.peek();
  if (at >= 0 && ring.u32[at >> 2] === SlotKind.SKIP) {
    ring.advance(ring.u32[(at >> 2) + 1]!);
    at = ring.peek();
  }
  if (at < 0 || ring.u32[at >> 2] !== SlotKind.CELLS) return take(ring);
  const number = ring.u32[(at >> 2) + 1]!;
  const slots = ring.u32[(at >> 2) + 2]!;
  const payload = ring.u8.subarray(at + SLOT_HEADER_BYTES, at + slots * SLOT_STRIDE);
  expect(payload.length).toBe(slots * SLOT_STRIDE - SLOT_HEADER_BYTES);
  expect(payload.every((byte) => byte === (number & 255))).toBe(true);
  ring.advance(slots);
  return number;
}

for (const seed of [1, 2, 3, 4]) {
  test(`spans among single slots come whole and in order, seed ${seed}`, () => {
    const random = seeded(seed);
    const capacity = [16, 32, 64, 256][seed - 1]!;
    const sab = Ring.create(capacity);
    const producer = new Ring(sab);
    const consumer = new Ring(sab);
    const inside: number[] = [];
    let spans = 0;
    for (let number = 0; number < 5_000; number++) {
      const slots = 1 + Math.floor(random() * (capacity / 5));
      const done = slots === 1 ? put(producer, random() < 0.2, number) : putSpan(producer, slots, number);
      if (done) inside.push(number);
      if (done && slots > 1) spans++;
      producer.publish();
      expect(producer.used()).toBeLessThanOrEqual(capacity);
      for (let takes = random() * 3; takes > 1 && inside.length > 0; takes--) {
        expect(takeAny(consumer)).toBe(inside.shift()!);
        consumer.release();
      }
    }
    while (inside.length > 0) expect(takeAny(consumer)).toBe(inside.shift()!);
    expect(takeAny(consumer)).toBe(-1);
    expect(spans).toBeGreaterThan(500);
  });
}

test('a span leaves to control kinds what is theirs, and never takes more than a quarter of the ring', () => {
  const sab = Ring.create(64);
  const producer = new Ring(sab);
  expect(producer.reserveSpan(15)).toBe(-1);
  let slots = 0;
  while (putSpan(producer, 14, slots)) slots += 14;
  expect(slots).toBe(56);
  for (let i = 0; i < 8; i++) expect(put(producer, true, i)).toBe(true);
  expect(put(producer, true, 8)).toBe(false);
});

test('all rings together fit 64 MB at any number of workers', () => {
  for (let workers = 2; workers <= 128; workers++) {
    const slots = slotsPerRing(workers);
    expect(slots & (slots - 1)).toBe(0);
    expect(slots).toBeGreaterThanOrEqual(4);
    expect(workers * (workers - 1) * Ring.bytes(slots)).toBeLessThanOrEqual(64 * 2 ** 20);
  }
  expect(slotsPerRing(2)).toBe(16_384);
  expect(slotsPerRing(8)).toBe(2048);
  expect(slotsPerRing(16)).toBe(256);
  expect(slotsPerRing(64)).toBe(16);
});

for (const [capacity, count] of [
  [4, 10_000],
  [8, 20_000],
  [128, 100_000],
  [2048, 200_000],
] as const) {
  test(`two workers, both ways at once, ${count} slots through ${capacity}: nothing lost, nothing twice`, async () => {
    const bells = Doorbell.create(2);
    const there = Ring.create(capacity);
    const back = Ring.create(capacity);
    const threads = [new Thread('./ring-worker.ts'), new Thread('./ring-worker.ts')];
    try {
      const reports = await Promise.all(
        threads.map((thread, me) => {
          const outgoing = me === 0 ? there : back;
          const incoming = me === 0 ? back : there;
          const task: RingTask = { me, count, seed: capacity, bells, outgoing, incoming };
          return thread.ask<RingReport>(task);
        }),
      );
      for (const report of reports) {
        expect(report.received).toBe(count);
        expect(report.wrong).toBe(0);
        expect(report.sum).toBe((count * (count - 1)) / 2);
      }
      // On a ring this small both really slept and both really waited for space.
      if (capacity === 8) {
        expect(reports[0]!.wakes + reports[1]!.wakes).toBeGreaterThan(0);
        expect(reports[0]!.fullWaits + reports[1]!.fullWaits).toBeGreaterThan(0);
      }
    } finally {
      await Promise.all(threads.map((thread) => thread.kill()));
    }
  }, 60_000);
}
