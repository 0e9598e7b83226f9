import { expect, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import { AddressTable, Admission } from '../../src/shm/address-table.ts';
import { lock } from '../../src/shm/spin-lock.ts';
import { seeded } from './seeded.ts';

const KEY = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const { ADMITTED, ADDRESS_FULL, TOTAL_FULL } = Admission;

function v4(number: number): Uint8Array {
  return Uint8Array.of(198, 51, number >> 8, number & 255);
}

test('an address is let in up to its bound, over all workers, and again when one leaves', () => {
  const sab = AddressTable.create(2, 256, KEY);
  const a = new AddressTable(sab, 0);
  const b = new AddressTable(sab, 1);
  expect(a.increment(v4(1), 3)).toBe(true);
  expect(b.increment(v4(1), 3)).toBe(true);
  expect(a.increment(v4(1), 3)).toBe(true);
  expect(b.increment(v4(1), 3)).toBe(false);
  expect(a.admit(v4(1), 3, 100)).toBe(ADDRESS_FULL);
  expect(a.increment(v4(2), 3)).toBe(true);
  expect(a.of(v4(1))).toBe(3);
  expect(b.total()).toBe(4);
  b.decrement(v4(1));
  expect(a.increment(v4(1), 3)).toBe(true);
  expect(a.increment(v4(9), 0)).toBe(false);
});

test('an IPv4 address and its mapped form are one', () => {
  const table = new AddressTable(AddressTable.create(1, 256, KEY), 0);
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff, ...v4(7)], 10);
  expect(table.increment(v4(7), 1)).toBe(true);
  expect(table.increment(mapped, 1)).toBe(false);
  table.decrement(mapped);
  expect(table.of(v4(7))).toBe(0);
});

/** An IPv6 address by its /64 and the rest. */
function v6(network: number, rest: number): Uint8Array {
  const host = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  new DataView(host.buffer).setUint32(4, network);
  new DataView(host.buffer).setUint32(8, rest * 0x9e3779b1);
  new DataView(host.buffer).setUint32(12, rest);
  return host;
}

test('a /64 of IPv6 counts as one address', () => {
  const table = new AddressTable(AddressTable.create(1, 256, KEY), 0);
  let admitted = 0;
  for (let i = 0; i < 1_000; i++) if (table.admit(v6(1, i), 5, 100) === ADMITTED) admitted++;
  expect(admitted).toBe(5);
  expect(table.of(v6(1, 5_000))).toBe(5);
  expect(table.admit(v6(2, 0), 5, 100)).toBe(ADMITTED);
  // Whichever of its addresses leaves.
  table.decrement(v6(1, 0));
  expect(table.admit(v6(1, 7_000), 5, 100)).toBe(ADMITTED);
  expect(table.admit(v6(1, 7_001), 5, 100)).toBe(ADDRESS_FULL);
  // Mapped IPv4 addresses differ in their last bytes alone.
  for (let i = 0; i < 20; i++) expect(table.admit(v4(i), 1, 100)).toBe(ADMITTED);
  expect(table.total()).toBe(26);
});

test('the process has a bound too', () => {
  const sab = AddressTable.create(2, 256, KEY);
  const a = new AddressTable(sab, 0);
  const b = new AddressTable(sab, 1);
  for (let i = 0; i < 10; i++) expect((i % 2 ? a : b).admit(v4(i), 5, 10)).toBe(ADMITTED);
  expect(a.admit(v4(100), 5, 10)).toBe(TOTAL_FULL);
  a.decrement(v4(1));
  expect(b.admit(v4(100), 5, 10)).toBe(ADMITTED);
});

test('a bucket full of other addresses refuses, and no count is lost or made up', () => {
  const table = new AddressTable(AddressTable.create(1, 16, KEY), 0);
  for (let i = 0; i < 16; i++) expect(table.admit(v4(i), 5, 1_000)).toBe(ADMITTED);
  expect(table.admit(v4(16), 5, 1_000)).toBe(TOTAL_FULL);
  expect(table.admit(v4(3), 5, 1_000)).toBe(ADMITTED);
  table.decrement(v4(0));
  expect(table.admit(v4(16), 5, 1_000)).toBe(ADMITTED);
  expect(table.total()).toBe(17);
});

test('leaving without having come is a bug', () => {
  const sab = AddressTable.create(2, 256, KEY);
  const a = new AddressTable(sab, 0);
  expect(() => a.decrement(v4(1))).toThrow(Bug);
  a.increment(v4(1), 5);
  expect(() => new AddressTable(sab, 1).decrement(v4(1))).toThrow(Bug);
  a.decrement(v4(1));
  expect(a.total()).toBe(0);
});

test('a dead worker takes its share along, and its lock comes free', () => {
  const sab = AddressTable.create(3, 16, KEY);
  const main = new AddressTable(sab, 3);
  const dead = new AddressTable(sab, 1);
  const alive = new AddressTable(sab, 2);
  for (let i = 0; i < 4; i++) dead.increment(v4(1), 10);
  dead.increment(v4(2), 10);
  alive.increment(v4(1), 10);
  // It died holding the lock of the only bucket.
  lock(new Int32Array(sab), 16, 1);
  expect(main.dropWorker(1)).toBe(true);
  expect(main.of(v4(1))).toBe(1);
  expect(main.of(v4(2))).toBe(0);
  expect(main.total()).toBe(1);
  expect(alive.increment(v4(1), 2)).toBe(true);
  expect(alive.increment(v4(1), 2)).toBe(false);
});

test('while another thread holds a lock, dropping gives up and can be tried again', () => {
  const sab = AddressTable.create(3, 16, KEY);
  const main = new AddressTable(sab, 3);
  new AddressTable(sab, 1).increment(v4(1), 10);
  lock(new Int32Array(sab), 16, 2);
  expect(main.dropWorker(1)).toBe(false);
  expect(main.dropWorker(2)).toBe(true);
  expect(main.dropWorker(1)).toBe(true);
  expect(main.total()).toBe(0);
});

for (const seed of [1, 2, 3]) {
  test(`against a map, seed ${seed}`, () => {
    const random = seeded(seed);
    const sab = AddressTable.create(3, 1_024, KEY);
    const tables = [0, 1, 2].map((worker) => new AddressTable(sab, worker));
    const held: { host: number; worker: number }[] = [];
    const countOf = (host: number) => held.filter((one) => one.host === host).length;
    for (let step = 0; step < 10_000; step++) {
      const worker = Math.floor(random() * 3);
      const table = tables[worker]!;
      if (random() < 0.55) {
        const host = Math.floor(random() ** 2 * 60);
        const had = countOf(host);
        const total = held.length;
        const expected = total >= 100 ? TOTAL_FULL : had >= 4 ? ADDRESS_FULL : ADMITTED;
        expect(table.admit(v4(host), 4, 100)).toBe(expected);
        if (expected === ADMITTED) held.push({ host, worker });
      } else if (random() < 0.995) {
        const mine = held.findIndex((one) => one.worker === worker);
        if (mine < 0) continue;
        table.decrement(v4(held[mine]!.host));
        held.splice(mine, 1);
      } else {
        const other = tables[(worker + 1) % 3]!;
        expect(other.dropWorker(worker)).toBe(true);
        for (let i = held.length - 1; i >= 0; i--) if (held[i]!.worker === worker) held.splice(i, 1);
      }
      expect(table.total()).toBe(held.length);
    }
  });
}
