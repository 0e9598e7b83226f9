/** Counting, rates, marks and prefixes of addresses, on a virtual clock; fullness, and the death of workers. */

import { describe, expect, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import {
  CircuitVerdict,
  ConnectVerdict,
  type DosLimits,
  DosTable,
  UNCOUNTED,
} from '../../src/shm/dos-table.ts';
import { lock } from '../../src/shm/spin-lock.ts';
import { seeded } from './seeded.ts';

const KEY = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const { ADMITTED, MARKED, TOO_MANY, NET_MARKED, NET_TOO_MANY } = ConnectVerdict;
/** Everything on, nothing near its limit. */
const WIDE: DosLimits = {
  connectionsWatched: true,
  connectionsRefused: true,
  connectionsMax: 1000,
  connectRate: 1000,
  connectBurst: 1000,
  connectMarkMs: 60_000,
  circuitsWatched: true,
  circuitsRefused: true,
  circuitConnectionsMin: 3,
  circuitRate: 3,
  circuitBurst: 10,
  circuitMarkMs: 3_600_000,
  queueKillsMax: 3,
  streamsWatched: false,
  streamRate: 100,
  streamBurst: 300,
  streamDefence: 2,
};
const START_MS = 1_000_000;
const midway = (): number => 0.5;

function v4(number: number): Uint8Array {
  return Uint8Array.of(198, number >> 16, number >> 8, number & 255);
}

/** An IPv6 address by its /48, the next 16 bits, and the rest. */
function v6(site: number, lan: number, rest: number): Uint8Array {
  const host = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const view = new DataView(host.buffer);
  view.setUint16(4, site);
  view.setUint16(6, lan);
  view.setUint32(12, rest);
  return host;
}

function make(workers = 1, entries = 1024): DosTable[] {
  const sab = DosTable.create(workers, entries, KEY);
  return Array.from({ length: workers + 1 }, (_, i) => new DosTable(sab, i, midway));
}

/** Connect, and give the handles back in a list of their own. */
function enter(table: DosTable, host: Uint8Array, nowMs = START_MS, limits = WIDE) {
  const verdict = table.connect(host, nowMs, limits);
  return { verdict, handles: [...table.handles] };
}

function leaveAll(table: DosTable, handles: number[]): void {
  for (const handle of handles) if (handle !== UNCOUNTED) table.leave(handle);
}

describe('links of an address', () => {
  test('are bounded over all workers, and one that goes makes room', () => {
    const [a, b] = make(2);
    const limits = { ...WIDE, connectionsMax: 3 };
    const first = enter(a!, v4(1), START_MS, limits);
    expect([first.verdict, a!.connect(v4(1), START_MS, limits)]).toEqual([ADMITTED, ADMITTED]);
    expect(b!.connect(v4(1), START_MS, limits)).toBe(ADMITTED);
    expect(b!.connect(v4(1), START_MS, limits)).toBe(TOO_MANY);
    expect(b!.handles).toEqual(Int32Array.of(UNCOUNTED, UNCOUNTED, UNCOUNTED));
    expect(a!.connectionsOf(v4(1))).toBe(3);
    expect(a!.connect(v4(2), START_MS, limits)).toBe(ADMITTED);
    leaveAll(a!, first.handles);
    expect(b!.connect(v4(1), START_MS, limits)).toBe(ADMITTED);
    expect(a!.connect(v4(1), START_MS, limits)).toBe(TOO_MANY);
  });

  test('count an IPv4 address and its mapped form as one, without prefixes', () => {
    const [table] = make();
    const mapped = new Uint8Array(16);
    mapped.set([0xff, 0xff, ...v4(7)], 10);
    const { handles } = enter(table!, mapped);
    expect(handles.slice(1)).toEqual([UNCOUNTED, UNCOUNTED]);
    expect(enter(table!, v4(7)).handles).toEqual(handles);
    expect(table!.connectionsOf(v4(7))).toBe(2);
  });

  test('are only counted while they are not watched, or when nothing is to be refused', () => {
    for (const limits of [
      { ...WIDE, connectionsMax: 1, connectBurst: 1, connectionsWatched: false },
      { ...WIDE, connectionsMax: 1, connectBurst: 1, connectionsRefused: false },
    ]) {
      const [table] = make();
      for (let i = 0; i < 5; i++) expect(table!.connect(v4(1), START_MS, limits)).toBe(ADMITTED);
      expect(table!.connectionsOf(v4(1))).toBe(5);
      // With nothing to refuse a mark is made all the same.
      expect(table!.connect(v4(1), START_MS, { ...WIDE, connectBurst: 1 })).toBe(
        limits.connectionsWatched ? MARKED : ADMITTED,
      );
    }
  });

  test('that leave without having come are a bug', () => {
    const [a, b] = make(2);
    const { handles } = enter(a!, v4(1));
    expect(() => b!.leave(handles[0]!)).toThrow(Bug);
    leaveAll(a!, handles);
    expect(() => a!.leave(handles[0]!)).toThrow(Bug);
    expect(a!.total()).toBe(0);
  });
});

describe('the rate of new links', () => {
  const limits = { ...WIDE, connectRate: 2, connectBurst: 4 };

  test('marks the address that empties its bucket, until the period and up to half of it are over', () => {
    const [a, b] = make(2);
    for (let i = 0; i < 3; i++) {
      expect(a!.connect(v4(1), START_MS, limits)).toBe(ADMITTED);
      expect(a!.newMarks).toBe(0);
    }
    // As in C tor, the one that empties the bucket is let in itself.
    expect(b!.connect(v4(1), START_MS, limits)).toBe(ADMITTED);
    expect(b!.newMarks).toBe(1);
    expect(a!.connect(v4(1), START_MS + 1, limits)).toBe(MARKED);
    expect(a!.newMarks).toBe(0);
    expect(a!.connect(v4(2), START_MS + 1, limits)).toBe(ADMITTED);
    // Half of the longest addition, as `midway` draws it.
    expect(a!.connect(v4(1), START_MS + 74_999, limits)).toBe(MARKED);
    expect(a!.connect(v4(1), START_MS + 75_000, limits)).toBe(ADMITTED);
    // From then on it is marked as before.
    for (let i = 0; i < 2; i++) a!.connect(v4(1), START_MS + 75_000, limits);
    expect(a!.connect(v4(1), START_MS + 75_000, limits)).toBe(ADMITTED);
    expect(a!.newMarks).toBe(1);
    expect(a!.connect(v4(1), START_MS + 75_001, limits)).toBe(MARKED);
  });

  test('refills the bucket as time passes, up to the burst', () => {
    const [table] = make();
    for (let i = 0; i < 100; i++) {
      expect(table!.connect(v4(1), START_MS + i * 500, limits)).toBe(ADMITTED);
    }
    for (let i = 0; i < 4; i++) table!.connect(v4(1), START_MS + 1_000_000, limits);
    expect(table!.newMarks).toBe(1);
    expect(table!.connect(v4(1), START_MS + 1_000_000, limits)).toBe(MARKED);
  });

  test('is that of the options in force', () => {
    const [table] = make();
    for (let i = 0; i < 3; i++) table!.connect(v4(1), START_MS, limits);
    // A lower burst cuts what is left, and no deeper: nobody is marked for what was allowed.
    const lower = { ...limits, connectBurst: 2 };
    expect(table!.connect(v4(2), START_MS, limits)).toBe(ADMITTED);
    expect(table!.connect(v4(2), START_MS, lower)).toBe(ADMITTED);
    expect(table!.newMarks).toBe(0);
  });
});

describe('circuits of an address', () => {
  const handleOf = (table: DosTable, links: number, host = v4(1)): number => {
    let handle = UNCOUNTED;
    for (let i = 0; i < links; i++) handle = enter(table, host).handles[0]!;
    return handle;
  };
  const BOTH = CircuitVerdict.MARKED | CircuitVerdict.NEWLY;

  test('past the burst mark it when it has links enough, and for longer if it goes on', () => {
    const [table] = make();
    const handle = handleOf(table!, 3);
    for (let i = 0; i < 9; i++) expect(table!.createCircuit(handle, START_MS, WIDE)).toBe(0);
    expect(table!.createCircuit(handle, START_MS, WIDE)).toBe(BOTH);
    expect(table!.createCircuit(handle, START_MS + 100, WIDE)).toBe(CircuitVerdict.MARKED);
    const endMs = START_MS + 100 + 3_600_000 * 1.25;
    expect(table!.createCircuit(handle, endMs - 1, WIDE)).toBe(CircuitVerdict.MARKED);
    expect(table!.createCircuit(handle, endMs, WIDE)).toBe(0);
  });

  test('are let pass on fewer links, and judged as soon as there are more', () => {
    const [table] = make();
    const handle = handleOf(table!, 2);
    for (let i = 0; i < 50; i++) expect(table!.createCircuit(handle, START_MS, WIDE)).toBe(0);
    handleOf(table!, 1);
    expect(table!.createCircuit(handle, START_MS, WIDE)).toBe(BOTH);
  });

  test('at the rate are always fine', () => {
    const [table] = make();
    const handle = handleOf(table!, 3);
    for (let i = 0; i < 100; i++) {
      expect(table!.createCircuit(handle, START_MS + (i * 1000) / WIDE.circuitRate, WIDE)).toBe(0);
    }
  });

  test('that die of full queues mark it, unless they are seldom', () => {
    const [table] = make();
    const handle = handleOf(table!, 1);
    const kill = (afterMs: number, limits = WIDE) => table!.noteQueueKill(handle, START_MS + afterMs, limits);
    expect([kill(0), kill(1), kill(3_700_000), kill(3_700_000)]).toEqual([0, 0, 0, 0]);
    expect(kill(3_700_000)).toBe(BOTH);
    // Not again while it is marked; afterwards it begins anew.
    for (let i = 0; i < 5; i++) expect(kill(3_700_001)).toBe(CircuitVerdict.MARKED);
    expect(table!.createCircuit(handle, START_MS + 3_700_001, WIDE)).toBe(CircuitVerdict.MARKED);
    expect([kill(9_000_000), kill(9_000_000), kill(9_000_000)]).toEqual([0, 0, BOTH]);
    const other = handleOf(table!, 1, v4(2));
    for (let i = 0; i < 9; i++) {
      expect(table!.noteQueueKill(other, START_MS, { ...WIDE, queueKillsMax: 0 })).toBe(0);
    }
  });
});

describe('IPv6 prefixes', () => {
  test('a /64 holds four times, a /48 sixteen times as many links as an address', () => {
    const [table] = make();
    const limits = { ...WIDE, connectionsMax: 2 };
    let admitted = 0;
    for (let i = 0; i < 20; i++) if (table!.connect(v6(1, 1, i), START_MS, limits) === ADMITTED) admitted++;
    expect(admitted).toBe(8);
    expect(table!.connect(v6(1, 1, 99), START_MS, limits)).toBe(NET_TOO_MANY);
    expect(table!.connect(v6(1, 2, 1), START_MS, limits)).toBe(ADMITTED);
    for (let i = 0; i < 60; i++)
      if (table!.connect(v6(1, 3 + i, 1), START_MS, limits) === ADMITTED) admitted++;
    expect(admitted + 1).toBe(32);
    expect(table!.connect(v6(1, 999, 1), START_MS, limits)).toBe(NET_TOO_MANY);
    expect(table!.connect(v6(2, 1, 1), START_MS, limits)).toBe(ADMITTED);
    // One address of them has no more than any other.
    expect(table!.connect(v6(2, 1, 1), START_MS, limits)).toBe(ADMITTED);
    expect(table!.connect(v6(2, 1, 1), START_MS, limits)).toBe(TOO_MANY);
  });

  test('a link counts towards all three, and leaves all three', () => {
    const [table] = make();
    const links = [v6(1, 1, 1), v6(1, 1, 2), v6(1, 2, 1)].map((host) => enter(table!, host).handles);
    expect(new Set(links.map(([host]) => host)).size).toBe(3);
    expect(links[0]![1]).toBe(links[1]![1]!);
    expect(links[0]![1]).not.toBe(links[2]![1]!);
    expect(links[0]![2]).toBe(links[2]![2]!);
    expect(table!.total()).toBe(9);
    for (const handles of links) leaveAll(table!, handles);
    expect(table!.total()).toBe(0);
  });

  test('are marked by what all their addresses do together', () => {
    const [table] = make();
    const limits = { ...WIDE, connectRate: 1, connectBurst: 5 };
    for (let i = 0; i < 20; i++) {
      expect(table!.connect(v6(1, 1, i), START_MS, limits)).toBe(ADMITTED);
      expect(table!.newMarks).toBe(i === 19 ? 1 : 0);
    }
    expect(table!.connect(v6(1, 1, 100), START_MS, limits)).toBe(NET_MARKED);
    expect(table!.connect(v6(1, 2, 100), START_MS, limits)).toBe(ADMITTED);
  });

  test('circuits are judged by each prefix with its own measure', () => {
    const [table] = make();
    // Twelve links, one address each: that is three for a /64.
    const handles = Array.from({ length: 12 }, (_, i) => enter(table!, v6(1, 1, i)).handles);
    const create = (handle: number) => table!.createCircuit(handle, START_MS, WIDE);
    for (let i = 0; i < 39; i++) {
      expect(create(handles[i % 12]![0]!)).toBe(0);
      expect(create(handles[i % 12]![1]!)).toBe(0);
      expect(create(handles[i % 12]![2]!)).toBe(0);
    }
    expect(create(handles[0]![1]!)).toBe(CircuitVerdict.MARKED | CircuitVerdict.NEWLY);
    expect(create(handles[0]![2]!)).toBe(0);
    for (let i = 0; i < 11; i++) expect(table!.noteQueueKill(handles[0]![2]!, START_MS, WIDE)).toBe(0);
    for (let i = 0; i < 36; i++) table!.noteQueueKill(handles[0]![2]!, START_MS, WIDE);
    expect(table!.noteQueueKill(handles[0]![2]!, START_MS, WIDE)).not.toBe(0);
  });
});

describe('a bucket that is full', () => {
  const limits = { ...WIDE, connectRate: 1, connectBurst: 5 };
  /** Sixteen addresses with links in the only bucket there is. */
  function filled(): { table: DosTable; handles: number[][] } {
    const [table] = make(1, 16);
    const handles = Array.from({ length: 16 }, (_, i) => enter(table!, v4(i), START_MS, limits).handles);
    return { table: table!, handles };
  }

  test('of links lets a newcomer in uncounted, and gives no handle away', () => {
    const { table, handles } = filled();
    expect(table.connect(v4(16), START_MS, limits)).toBe(ADMITTED);
    expect([table.noRoom, table.handles[0]]).toEqual([1, UNCOUNTED]);
    expect(table.connect(v6(1, 1, 1), START_MS, limits)).toBe(ADMITTED);
    expect([table.noRoom, [...table.handles]]).toEqual([3, [UNCOUNTED, UNCOUNTED, UNCOUNTED]]);
    // The sixteen are watched as ever.
    for (let i = 0; i < 4; i++) expect(table.connect(v4(3), START_MS, limits)).toBe(ADMITTED);
    expect(table.connect(v4(3), START_MS, limits)).toBe(MARKED);
    leaveAll(table, handles[5]!);
    expect(enter(table, v4(16), START_MS + 60_000, limits).handles[0]).toBe(handles[5]![0]!);
    expect(table.noRoom).toBe(0);
  });

  test('gives the place of the entry with the least to remember', () => {
    const { table, handles } = filled();
    // 7 and 9 have opened links fast, 9 faster; then all go.
    for (const host of [7, 9, 9, 9]) handles.push(enter(table, v4(host), START_MS, limits).handles);
    for (const each of handles) leaveAll(table, each);
    const at = (i: number) => handles[i]![0]!;
    const taken = Array.from(
      { length: 15 },
      (_, i) => enter(table, v4(100 + i), START_MS + 10, limits).handles[0]!,
    );
    expect(taken).not.toContain(at(9));
    expect(taken.at(-1)).toBe(at(7));
    // What it had done is not forgiven by the others.
    expect(table.connect(v4(9), START_MS + 10, limits)).toBe(ADMITTED);
    expect(table.newMarks).toBe(1);
  });

  test('keeps its marks, whoever comes, until they are over', () => {
    const { table, handles } = filled();
    for (let i = 0; i < 4; i++) handles.push(enter(table, v4(9), START_MS, limits).handles);
    expect(table.newMarks).toBe(1);
    for (const each of handles) leaveAll(table, each);
    for (let i = 0; i < 1000; i++) {
      expect(table.connect(v4(1000 + i), START_MS + i * 10, limits)).toBe(ADMITTED);
      leaveAll(table, [...table.handles]);
    }
    expect(table.connect(v4(9), START_MS + 10_000, limits)).toBe(MARKED);
    // Also the marks of circuits, and queue kills that still count.
    const circuits = enter(table, v4(2000), START_MS + 10_000, limits).handles;
    for (let i = 0; i < 3; i++) table.noteQueueKill(circuits[0]!, START_MS + 10_000, limits);
    leaveAll(table, circuits);
    const seen = new Set<number>();
    for (let i = 0; i < 14; i++) seen.add(enter(table, v4(3000 + i), START_MS + 20_000, limits).handles[0]!);
    expect(seen.size).toBe(14);
    expect(table.connect(v4(4000), START_MS + 20_000, limits)).toBe(ADMITTED);
    expect(table.noRoom).toBe(1);
    expect(seen).not.toContain(circuits[0]);
    expect(table.connect(v4(4000), START_MS + 80_000, limits)).toBe(ADMITTED);
    expect([table.noRoom, table.handles[0]]).toEqual([0, handles[9]![0]!]);
  });

  test('of one attacker’s addresses leaves the marks of their prefix in force', () => {
    const [table] = make(1, 1024);
    // Ever new addresses of one /48, closed at once: they are stopped by its mark long before the table is full.
    let admitted = 0;
    for (let i = 0; i < 50_000; i++) {
      if (table!.connect(v6(1, i % 5000, i), START_MS + i / 100, limits) !== ADMITTED) continue;
      admitted++;
      leaveAll(table!, [...table!.handles]);
    }
    expect(admitted).toBe(16 * 5);
    expect(table!.connect(v4(1), START_MS + 500, limits)).toBe(ADMITTED);
    expect(table!.noRoom).toBe(0);
  });
});

describe('a dead worker', () => {
  test('takes its links along, and its locks come free; marks stay', () => {
    const [, dead, alive, main] = make(3, 16);
    const limits = { ...WIDE, connectRate: 1, connectBurst: 5 };
    for (let i = 0; i < 4; i++) dead!.connect(v4(1), START_MS, limits);
    alive!.connect(v4(1), START_MS, limits);
    expect(alive!.newMarks).toBe(1);
    expect(main!.dropWorker(1)).toBe(true);
    expect(main!.connectionsOf(v4(1))).toBe(1);
    expect(alive!.connect(v4(1), START_MS + 10, limits)).toBe(MARKED);
    expect(main!.total()).toBe(1);
  });

  test('does not hold anybody up by its locks', () => {
    const sab = DosTable.create(3, 16, KEY);
    const main = new DosTable(sab, 3);
    const alive = new DosTable(sab, 2);
    lock(new Int32Array(sab), 16, 1);
    main.freeLocks(1);
    expect(alive.connect(v4(1), START_MS, WIDE)).toBe(ADMITTED);
    // While another thread holds one, dropping gives up and can be tried again.
    lock(new Int32Array(sab), 16, 2);
    expect(main.dropWorker(1)).toBe(false);
    expect(main.dropWorker(2)).toBe(true);
    expect(main.dropWorker(1)).toBe(true);
    expect(main.total()).toBe(0);
  });
});

for (const seed of [1, 2, 3]) {
  test(`against lists, seed ${seed}`, () => {
    const random = seeded(seed);
    const sab = DosTable.create(3, 4096, KEY);
    const tables = [0, 1, 2].map((worker) => new DosTable(sab, worker, random));
    const limits = { ...WIDE, connectionsMax: 4, connectRate: 1e6, connectBurst: 1e6 };
    const held: { host: Uint8Array; worker: number; handles: number[] }[] = [];
    const count = (bytes: number, host: Uint8Array) =>
      held.filter(
        (one) =>
          one.host.length === host.length && host.subarray(0, bytes).every((b, i) => b === one.host[i]),
      ).length;
    for (let step = 0; step < 5_000; step++) {
      const worker = Math.floor(random() * 3);
      const table = tables[worker]!;
      if (random() < 0.6) {
        const n = Math.floor(random() ** 2 * 60);
        const isV6 = random() < 0.6;
        const host = isV6 ? v6(n % 3, n % 12, n) : v4(n);
        const full = count(16, host) >= 4;
        const fullNet = isV6 && (count(8, host) >= 16 || count(6, host) >= 64);
        const expected = fullNet ? NET_TOO_MANY : full ? TOO_MANY : ADMITTED;
        const { verdict, handles } = enter(table, host, START_MS + step, limits);
        expect(verdict).toBe(expected);
        if (verdict === ADMITTED) held.push({ host, worker, handles });
      } else if (random() < 0.995) {
        const mine = held.findIndex((one) => one.worker === worker);
        if (mine < 0) continue;
        leaveAll(table, held[mine]!.handles);
        held.splice(mine, 1);
      } else {
        expect(tables[(worker + 1) % 3]!.dropWorker(worker)).toBe(true);
        for (let i = held.length - 1; i >= 0; i--) if (held[i]!.worker === worker) held.splice(i, 1);
      }
    }
    expect(tables[0]!.total()).toBe(held.reduce((sum, { host }) => sum + (host.length === 4 ? 1 : 3), 0));
  });
}
