/** Slots for parked cells: none lent twice, chunks come and go. */
import { describe, expect, test } from 'bun:test';
import { NO_SLOT, Slab } from '../../src/bytes/slab.ts';
import { seeded } from '../shm/seeded.ts';

const CHUNK = 256;

describe('Slab', () => {
  test('lends each slot once, and its bytes are its own', () => {
    const slab = new Slab(10);
    const slots = Array.from({ length: 3 * CHUNK }, () => slab.alloc());
    expect(new Set(slots).size).toBe(slots.length);
    for (const [i, slot] of slots.entries()) {
      const at = slab.offsetOf(slot);
      slab.bufferOf(slot).fill(i & 255, at, at + 10);
    }
    for (const [i, slot] of slots.entries()) {
      const at = slab.offsetOf(slot);
      expect(slab.bufferOf(slot).subarray(at, at + 10)).toEqual(new Uint8Array(10).fill(i & 255));
    }
    expect(slab.used).toBe(slots.length);
    expect(slab.heldBytes).toBe(3 * CHUNK * 10);
  });

  test('a lent slot is linked to nothing', () => {
    const slab = new Slab(4);
    const a = slab.alloc();
    const b = slab.alloc();
    expect([slab.next[a], slab.next[b]]).toEqual([NO_SLOT, NO_SLOT]);
    slab.next[a] = b;
    slab.free(a);
    expect(slab.next[slab.alloc()]).toBe(NO_SLOT);
  });

  test('gives memory back after a burst, all but one empty chunk', () => {
    const slab = new Slab(514);
    const slots = Array.from({ length: 20 * CHUNK }, () => slab.alloc());
    for (const slot of slots) slab.free(slot);
    expect(slab.used).toBe(0);
    expect(slab.heldBytes).toBe(CHUNK * 514);
  });

  test('does not allocate at each turn when a queue wavers about a chunk’s edge', () => {
    const slab = new Slab(8);
    for (let i = 0; i < CHUNK; i++) slab.alloc();
    const first = slab.alloc();
    const buffer = slab.bufferOf(first);
    slab.free(first);
    for (let i = 0; i < 10; i++) {
      const slot = slab.alloc();
      expect(slab.bufferOf(slot)).toBe(buffer);
      slab.free(slot);
    }
    expect(slab.heldBytes).toBe(2 * CHUNK * 8);
  });

  test('an empty slab holds nothing until it is used', () => {
    expect(new Slab(514).heldBytes).toBe(0);
  });

  test('moves what is left together, with its date and its link, so that chunks come free', () => {
    const slab = new Slab(8);
    const slots = Array.from({ length: 8 * CHUNK }, () => slab.alloc());
    const kept = slots.filter((_, i) => i % 8 === 7);
    for (const slot of kept) {
      slab.bufferOf(slot)[slab.offsetOf(slot)] = slot & 255;
      slab.sinceMs[slot] = slot;
      slab.next[slot] = slot + 1;
    }
    for (const slot of slots) if (!kept.includes(slot)) slab.free(slot);
    expect(slab.heldBytes).toBe(8 * CHUNK * 8);
    expect(slab.spareSlots).toBe(7 * CHUNK);
    const moved = kept.map((slot) => slab.relocate(slot));
    expect(new Set(moved).size).toBe(kept.length);
    for (const [i, slot] of moved.entries()) {
      const was = kept[i]!;
      expect(slab.bufferOf(slot)[slab.offsetOf(slot)]).toBe(was & 255);
      expect([slab.sinceMs[slot], slab.next[slot]]).toEqual([was, was + 1]);
    }
    // All in one, and the empty one that is kept.
    expect(slab.heldBytes).toBe(2 * CHUNK * 8);
    expect(moved.map((slot) => slab.relocate(slot))).toEqual(moved);
  });

  test('its columns shrink after a burst, and those of living slots stay', () => {
    const slab = new Slab(2);
    const slots = Array.from({ length: 300 * CHUNK }, () => slab.alloc());
    const most = slab.columnBytes;
    slab.sinceMs[slots[5]!] = 77;
    for (const slot of slots) if (slot !== slots[5]) slab.free(slot);
    expect(slab.columnBytes).toBeLessThan(most / 3);
    expect(slab.sinceMs[slots[5]!]).toBe(77);
    expect(new Set(Array.from({ length: 200 * CHUNK }, () => slab.alloc())).size).toBe(200 * CHUNK);
  });

  test('its columns shrink in whichever order chunks come free', () => {
    const slab = new Slab(2);
    const slots = Array.from({ length: 300 * CHUNK }, () => slab.alloc());
    const most = slab.columnBytes;
    for (const slot of slots.reverse()) slab.free(slot);
    expect(slab.columnBytes).toBeLessThan(most / 3);
    expect(slab.heldBytes).toBe(2 * CHUNK);
  });

  test('says when it grew', () => {
    const slab = new Slab(8);
    slab.alloc();
    expect(slab.hasGrown).toBe(true);
    slab.hasGrown = false;
    for (let i = 1; i < CHUNK; i++) slab.alloc();
    expect([slab.hasGrown, slab.spareSlots]).toEqual([false, 0]);
    slab.alloc();
    expect([slab.hasGrown, slab.spareSlots]).toEqual([true, CHUNK - 1]);
  });

  test('any order of lending and freeing keeps slots apart', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed);
      const slab = new Slab(4);
      const lent = new Map<number, number>();
      for (let step = 0; step < 5000; step++) {
        if (random() < 0.5 + 0.3 * Math.sin(step / 300)) {
          const slot = slab.alloc();
          expect(lent.has(slot)).toBe(false);
          new DataView(slab.bufferOf(slot).buffer).setUint32(slab.offsetOf(slot), step);
          lent.set(slot, step);
        } else if (lent.size > 0) {
          const slots = [...lent.keys()];
          const slot = slots[Math.floor(random() * slots.length)]!;
          expect(new DataView(slab.bufferOf(slot).buffer).getUint32(slab.offsetOf(slot))).toBe(
            lent.get(slot)!,
          );
          lent.delete(slot);
          slab.free(slot);
        }
        expect(slab.used).toBe(lent.size);
      }
    }
  });
});
