import { expect, spyOn, test } from 'bun:test';
import { Bug } from '../../src/fault.ts';
import {
  IDENTITY_FULL,
  ROSTER_FULL,
  Roster,
  type RosterRow,
  type RosterTarget,
} from '../../src/shm/roster.ts';
import { RosterRows } from '../../src/shm/roster-rows.ts';
import type { RosterReport, RosterTask } from './roster-worker.ts';
import { seeded } from './seeded.ts';
import { Thread } from './thread.ts';

const KEY = Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1);
const DAY_MS = 24 * 3_600_000;

function rsa(number: number): Uint8Array {
  const id = new Uint8Array(20).fill(0x52);
  new DataView(id.buffer).setUint32(4, number);
  return id;
}

function ed(number: number): Uint8Array {
  const id = new Uint8Array(32).fill(0xed);
  new DataView(id.buffer).setUint32(8, number);
  return id;
}

function at(last: number): Uint8Array {
  return Uint8Array.of(203, 0, 113, last);
}

function row(change: Partial<RosterRow> = {}): RosterRow {
  return {
    rsaId: rsa(1),
    ed25519Id: ed(1),
    address: at(1),
    port: 9001,
    slot: 5,
    generation: 2,
    state: 'open',
    inbound: false,
    canonical: false,
    createdMs: 1_000,
    ...change,
  };
}

function target(change: Partial<RosterTarget> = {}): RosterTarget {
  return { rsaId: rsa(1), ed25519Id: ed(1), ipv4: at(1), ipv6: null, ...change };
}

const dial = (change: Partial<RosterRow> = {}) =>
  row({ state: 'dialling', slot: -1, generation: -1, ...change });

test('an empty roster has nobody', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  expect(roster.choose(target()).verdict).toBe('none');
  expect(roster.count()).toEqual({ dialling: 0, open: 0, bad: 0 });
  expect(roster.locate(0)).toBeNull();
  expect(roster.locate(-1)).toBeNull();
});

test('an open channel at the address that was asked for is chosen, by any worker', () => {
  const sab = Roster.create(16, KEY);
  const handle = new Roster(sab, 1).insert(row());
  const choice = new Roster(sab, 0).choose(target());
  expect(choice).toEqual({ verdict: 'open', worker: 1, slot: 5, generation: 2, handle });
});

test('identities must match: RSA always, Ed25519 if it is named', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  roster.insert(row());
  expect(roster.choose(target({ rsaId: rsa(2) })).verdict).toBe('none');
  expect(roster.choose(target({ ed25519Id: ed(2) })).verdict).toBe('none');
  expect(roster.choose(target({ ed25519Id: null })).verdict).toBe('open');
  expect(roster.choose(target({ ed25519Id: new Uint8Array(32) })).verdict).toBe('open');
});

test('a channel without an Ed25519 id serves only who names none', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  roster.insert(row({ ed25519Id: null }));
  expect(roster.choose(target()).verdict).toBe('none');
  expect(roster.choose(target({ ed25519Id: null })).verdict).toBe('open');
});

test('a channel that the peer opened is used only if its Ed25519 id is named', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  roster.insert(row({ inbound: true }));
  expect(roster.choose(target({ ed25519Id: null })).verdict).toBe('none');
  expect(roster.choose(target()).verdict).toBe('open');
});

test('another address than the channel’s will do only if the channel is canonical', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  const handle = roster.insert(row());
  const elsewhere = target({ ipv4: at(99) });
  expect(roster.choose(elsewhere).verdict).toBe('none');
  roster.setOpen(handle, { ed25519Id: ed(1), canonical: true });
  expect(roster.choose(elsewhere).verdict).toBe('open');
});

test('an IPv6 address matches as well, and an IPv4 address matches its mapped form', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  const v6 = new Uint8Array(16).fill(0x20);
  const mapped = new Uint8Array(16);
  mapped.set([255, 255, ...at(3)], 10);
  roster.insert(row({ address: v6 }));
  roster.insert(row({ rsaId: rsa(2), address: mapped }));
  expect(roster.choose(target({ ipv4: null, ipv6: v6 })).verdict).toBe('open');
  expect(roster.choose(target({ ipv4: null, ipv6: new Uint8Array(16).fill(0x21) })).verdict).toBe('none');
  expect(roster.choose(target({ rsaId: rsa(2), ipv4: at(3) })).verdict).toBe('open');
  expect(roster.choose(target({ rsaId: rsa(2), ipv4: null })).verdict).toBe('none');
});

test('bad channels are never chosen', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  const bad = roster.insert(row());
  expect(roster.choose(target()).verdict).toBe('open');
  expect(roster.markSuperseded(rsa(1), ed(1), 1_000, -1)).toBe(1);
  expect(roster.isBad(bad)).toBe(true);
  expect(roster.choose(target()).verdict).toBe('none');
  roster.setOpen(bad, { ed25519Id: ed(1), canonical: true });
  expect(roster.isBad(bad)).toBe(true);
  expect(roster.choose(target()).verdict).toBe('none');
});

test('of several, a canonical one is better, then one canonical to the peer, then the older', () => {
  const roster = new Roster(Roster.create(64, KEY), 0);
  const young = roster.insert(row({ createdMs: 3_000 }));
  const old = roster.insert(row({ createdMs: 2_000 }));
  expect(roster.choose(target()).handle).toBe(old);
  roster.setOpen(young, { ed25519Id: ed(1), canonical: false, canonicalToPeer: true });
  expect(roster.choose(target()).handle).toBe(young);
  const canonical = roster.insert(row({ createdMs: 9_000, canonical: true }));
  expect(roster.choose(target()).handle).toBe(canonical);
  roster.remove(canonical);
  expect(roster.choose(target()).handle).toBe(young);
});

test('a dial to a black hole holds up nobody who asks for the true address', () => {
  const sab = Roster.create(64, KEY);
  const a = new Roster(sab, 0);
  const b = new Roster(sab, 1);
  const blackHole = target({ ipv4: at(66) });
  const first = a.chooseOrDial(blackHole, dial({ address: at(66) }));
  expect(first.verdict).toBe('mine');
  a.setSlot(first.handle, 11, 1);
  expect(b.chooseOrDial(blackHole, dial({ address: at(66) }))).toMatchObject({
    verdict: 'dialling',
    worker: 0,
    slot: 11,
    generation: 1,
    handle: first.handle,
  });
  const honest = b.chooseOrDial(target(), dial());
  expect(honest.verdict).toBe('mine');
  b.setSlot(honest.handle, 3, 7);
  b.setOpen(honest.handle, { ed25519Id: ed(1), canonical: true });
  expect(a.choose(target())).toMatchObject({ verdict: 'open', worker: 1, slot: 3, generation: 7 });
  // Once the true link is canonical, whoever asks for the black hole gets it too.
  expect(a.choose(blackHole)).toMatchObject({ verdict: 'open', worker: 1 });
});

test('of several dials to one address our own is waited for', () => {
  const sab = Roster.create(64, KEY);
  const a = new Roster(sab, 0);
  const b = new Roster(sab, 1);
  const mine = a.insert(dial({ slot: 1 }));
  const theirs = b.insert(dial({ slot: 2 }));
  expect(a.choose(target()).handle).toBe(mine);
  expect(b.choose(target()).handle).toBe(theirs);
});

test('a handle dies with its row, and is not the next row’s', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  const handle = roster.insert(row());
  expect(roster.locate(handle)).toEqual({ worker: 0, slot: 5, generation: 2, handle });
  expect(roster.remove(handle)).toBe(true);
  expect(roster.remove(handle)).toBe(false);
  const handles = new Set([handle]);
  for (let i = 0; i < 40; i++) {
    const next = roster.insert(row());
    expect(handles.has(next)).toBe(false);
    handles.add(next);
    expect(roster.locate(handle)).toBeNull();
    expect(roster.setSlot(handle, 1, 1)).toBe(false);
    expect(roster.setOpen(handle, { ed25519Id: null, canonical: true })).toBe(false);
    roster.remove(next);
  }
});

test('a full roster says so, and takes rows again when some go', () => {
  const roster = new Roster(Roster.create(16, KEY), 0);
  const handles = Array.from({ length: 16 }, (_, i) => roster.insert(row({ rsaId: rsa(i) })));
  expect(handles.every((handle) => handle >= 0)).toBe(true);
  expect(roster.insert(row({ rsaId: rsa(99) }))).toBe(-1);
  const wanted = target({ rsaId: rsa(99) });
  expect(roster.chooseOrDial(wanted, dial({ rsaId: rsa(99) })).verdict).toBe('full');
  roster.remove(handles[7]!);
  expect(roster.chooseOrDial(wanted, dial({ rsaId: rsa(99) })).verdict).toBe('mine');
  for (let i = 0; i < 16; i++) {
    expect(roster.choose(target({ rsaId: rsa(i) })).verdict).toBe(i === 7 ? 'none' : 'open');
  }
});

test('nobody changes the row of another worker', () => {
  const sab = Roster.create(16, KEY);
  const handle = new Roster(sab, 0).insert(row());
  expect(() => new Roster(sab, 1).setSlot(handle, 1, 1)).toThrow(Bug);
  expect(() => new Roster(sab, 1).remove(handle)).toThrow(Bug);
});

test('a canonical channel supersedes every other of that peer', () => {
  const sab = Roster.create(64, KEY);
  const a = new Roster(sab, 0);
  const b = new Roster(sab, 1);
  const elsewhere = a.insert(row({ address: at(9), createdMs: 10 }));
  const young = b.insert(row({ canonical: true, createdMs: 3_000 }));
  const old = b.insert(row({ canonical: true, createdMs: 2_000 }));
  const dialling = a.insert(dial());
  const otherEd = a.insert(row({ ed25519Id: ed(2) }));
  const otherRsa = a.insert(row({ rsaId: rsa(2) }));
  expect(a.markSuperseded(rsa(1), ed(1), 4_000)).toBe(2);
  expect(a.isBad(elsewhere)).toBe(true);
  expect(b.isBad(young)).toBe(true);
  for (const kept of [old, dialling, otherEd, otherRsa]) expect(a.isBad(kept)).toBe(false);
  expect(a.markSuperseded(rsa(1), ed(1), 4_000)).toBe(0);
  expect(a.choose(target())).toMatchObject({ verdict: 'open', handle: old });
});

test('a channel that is not canonical supersedes only those at its own address', () => {
  const roster = new Roster(Roster.create(64, KEY), 0);
  const old = roster.insert(row({ createdMs: 1_000 }));
  const young = roster.insert(row({ createdMs: 2_000 }));
  const elsewhere = roster.insert(row({ address: at(2), createdMs: 3_000 }));
  expect(roster.markSuperseded(rsa(1), ed(1), 4_000)).toBe(1);
  expect([old, young, elsewhere].map((handle) => roster.isBad(handle))).toEqual([false, true, false]);
});

test('after a week a channel takes no new circuits, in the sweep over all peers too', () => {
  const roster = new Roster(Roster.create(64, KEY), 0);
  const lone = roster.insert(row({ rsaId: rsa(3), createdMs: 0 }));
  const old = roster.insert(row({ createdMs: 0, canonical: true }));
  const fresh = roster.insert(row({ createdMs: 6 * DAY_MS }));
  expect(roster.markAllSuperseded(7 * DAY_MS)).toBe(1);
  expect(roster.isBad(fresh)).toBe(true);
  const fresher = roster.insert(row({ createdMs: 7 * DAY_MS }));
  expect(roster.markAllSuperseded(7 * DAY_MS + 1)).toBe(2);
  expect([lone, old, fresher].map((handle) => roster.isBad(handle))).toEqual([true, true, false]);
  expect(roster.count()).toEqual({ dialling: 0, open: 1, bad: 3 });
});

/** A peer with one RSA identity and an Ed25519 identity for each link. */
const pretender = (number: number, change: Partial<RosterRow> = {}) =>
  row({ rsaId: rsa(7), ed25519Id: ed(number), inbound: true, createdMs: number, ...change });

test('of the links that one RSA identity opens 64 are listed, whatever their Ed25519 identities', () => {
  const roster = new Roster(Roster.create(1_024, KEY), 0);
  const handles = Array.from({ length: 1_000 }, (_, i) => roster.insert(pretender(i)));
  const listed = handles.filter((handle) => handle >= 0);
  expect(listed.length).toBe(64);
  expect(new Set(handles.slice(64))).toEqual(new Set([IDENTITY_FULL]));
  expect(roster.count()).toEqual({ dialling: 0, open: 64, bad: 0 });
  // Nobody else suffers, and neither do our dials to that identity.
  expect(roster.insert(row({ inbound: true }))).toBeGreaterThanOrEqual(0);
  expect(roster.insert(pretender(0, { inbound: false }))).toBeGreaterThanOrEqual(0);
  roster.remove(listed[5]!);
  expect(roster.insert(pretender(5_000))).toBeGreaterThanOrEqual(0);
  expect(roster.insert(pretender(5_001))).toBe(IDENTITY_FULL);
});

test('dials that name one RSA identity go on when it has its fill of rows, but are not listed', () => {
  const roster = new Roster(Roster.create(1_024, KEY), 0);
  const dialTo = (number: number) => {
    const there = { rsaId: rsa(7), ed25519Id: ed(number) };
    return roster.chooseOrDial(target(there), dial(there));
  };
  for (let i = 0; i < 256; i++) {
    const choice = dialTo(i);
    expect(choice.verdict).toBe('mine');
    expect(choice.handle).toBeGreaterThanOrEqual(0);
  }
  expect(dialTo(256)).toMatchObject({ verdict: 'mine', worker: 0, handle: IDENTITY_FULL });
  expect(roster.setSlot(IDENTITY_FULL, 1, 1)).toBe(false);
  expect(roster.remove(IDENTITY_FULL)).toBe(false);
  expect(dialTo(3).verdict).toBe('dialling');
  expect(roster.count()).toEqual({ dialling: 256, open: 0, bad: 0 });
});

test('links that peers open leave a quarter of the rows to our dials', () => {
  const sab = Roster.create(64, KEY);
  const rosters = [0, 1].map((worker) => new Roster(sab, worker));
  const handles: number[] = [];
  for (let i = 0; i < 60; i++) handles.push(rosters[i % 2]!.insert(row({ rsaId: rsa(i), inbound: true })));
  expect(handles.filter((handle) => handle >= 0).length).toBe(48);
  expect(new Set(handles.slice(48))).toEqual(new Set([ROSTER_FULL]));
  for (let i = 100; i < 116; i++) {
    const choice = rosters[i % 2]!.chooseOrDial(target({ rsaId: rsa(i) }), dial({ rsaId: rsa(i) }));
    expect(choice.verdict).toBe('mine');
    expect(choice.handle).toBeGreaterThanOrEqual(0);
  }
  for (const roster of rosters) {
    expect(roster.chooseOrDial(target({ rsaId: rsa(200) }), dial({ rsaId: rsa(200) })).verdict).toBe('full');
  }
  // A row that the other worker gives back is found.
  rosters[0]!.remove(handles[0]!);
  expect(rosters[1]!.insert(row({ rsaId: rsa(201), inbound: true }))).toBeGreaterThanOrEqual(0);
});

/** Count how often rows are looked at, by word and by field. */
function steps(body: () => void): number {
  const load = spyOn(Atomics, 'load');
  const holds = spyOn(RosterRows.prototype, 'holds');
  try {
    body();
    return load.mock.calls.length + holds.mock.calls.length;
  } finally {
    load.mockRestore();
    holds.mockRestore();
  }
}

test('judging a peer’s channels takes steps in proportion to them, and none for its other identities', () => {
  const taken = [16, 64].map((count) => {
    const roster = new Roster(Roster.create(1_024, KEY), 0);
    for (let i = 0; i < count; i++) roster.insert(pretender(i));
    for (let i = 0; i < 4 * count; i++) roster.insert(pretender(i, { inbound: false }));
    const one = steps(() => expect(roster.markSuperseded(rsa(7), ed(0), 4_000)).toBe(1));
    const all = steps(() => expect(roster.markAllSuperseded(4_000)).toBe(count - 1));
    return { one, all: all - 1_024 };
  });
  const [small, big] = taken;
  expect(small!.one).toBeGreaterThan(5 * 16);
  expect(big!.one).toBeLessThan(6 * small!.one);
  expect(big!.all).toBeLessThan(6 * small!.all);
});

test('a full roster is not searched again until a row is given back', () => {
  const roster = new Roster(Roster.create(1_024, KEY), 0);
  const handles = Array.from({ length: 1_024 }, (_, i) => roster.insert(row({ rsaId: rsa(i) })));
  const wanted = dial({ rsaId: rsa(9_999) });
  const tryOnce = () => expect(roster.insert(wanted)).toBe(ROSTER_FULL);
  expect(steps(tryOnce)).toBeGreaterThan(1_000);
  expect(steps(tryOnce)).toBeLessThan(20);
  roster.remove(handles[500]!);
  expect(roster.insert(wanted)).toBeGreaterThanOrEqual(0);
});

test('the rows of a dead worker go, the others stay', () => {
  const sab = Roster.create(256, KEY);
  const rosters = [0, 1, 2].map((worker) => new Roster(sab, worker));
  const handles = Array.from({ length: 150 }, (_, i) =>
    rosters[i % 3]!.insert(row({ rsaId: rsa(i % 10), slot: i })),
  );
  const main = new Roster(sab, 3);
  expect(main.dropWorker(1)).toBe(true);
  expect(main.count().open).toBe(100);
  for (const [i, handle] of handles.entries()) expect(main.locate(handle) === null).toBe(i % 3 === 1);
  for (let i = 0; i < 156; i++) expect(rosters[1]!.insert(row({ rsaId: rsa(i) }))).toBeGreaterThanOrEqual(0);
  expect(rosters[1]!.insert(row())).toBe(-1);
});

test('a worker killed while it holds a lock stops nobody, once it is dropped', async () => {
  const sab = Roster.create(256, KEY);
  const main = new Roster(sab, 2);
  const survivor = new Roster(sab, 1);
  const doomed = new Thread('./roster-worker.ts');
  const task: RosterTask = { role: 'die', worker: 0, sab, key: KEY, seed: 1, count: 0 };
  expect(await doomed.ask<string>(task)).toBe('holding');
  await doomed.kill();
  expect(main.count().open).toBe(1);
  expect(main.dropWorker(0)).toBe(true);
  expect(main.count().open).toBe(0);
  expect(survivor.chooseOrDial(target(), dial()).verdict).toBe('mine');
}, 60_000);

test('while another thread holds a lock, dropping gives up and can be tried again', async () => {
  const sab = Roster.create(256, KEY);
  const main = new Roster(sab, 2);
  const holder = new Thread('./roster-worker.ts');
  expect(
    await holder.ask<string>({
      role: 'die',
      worker: 0,
      sab,
      key: KEY,
      seed: 1,
      count: 0,
    } satisfies RosterTask),
  ).toBe('holding');
  // Worker 1 died as well; its row is in the same chain, and worker 0's end is not known yet.
  const words = new Int32Array(sab);
  const lockWord = words.findIndex((word, i) => i >= 16 && i < 16 + 64 * 16 && word === 1);
  words[lockWord] = 0;
  new Roster(sab, 1).insert(row());
  words[lockWord] = 1;
  expect(main.dropWorker(1)).toBe(false);
  await holder.kill();
  expect(main.dropWorker(0)).toBe(true);
  expect(main.dropWorker(1)).toBe(true);
  expect(main.count().open).toBe(0);
}, 60_000);

test('three threads dial, open, mark and close at once: one dial per address, and no row is lost', async () => {
  const sab = Roster.create(1_024, KEY);
  const threads = [0, 1, 2].map(() => new Thread('./roster-worker.ts'));
  try {
    const reports = await Promise.all(
      threads.map((one, worker) => {
        const task: RosterTask = { role: 'churn', worker, sab, key: KEY, seed: 42, count: 30_000 };
        return one.ask<RosterReport>(task);
      }),
    );
    let held = 0;
    for (const report of reports) {
      expect(report.wrong).toBe(0);
      expect(report.dials).toBeGreaterThan(0);
      held += report.held;
    }
    const main = new Roster(sab, 3);
    const count = main.count();
    expect(count.dialling + count.open + count.bad).toBe(held);
    for (const worker of [0, 1, 2]) expect(main.dropWorker(worker)).toBe(true);
    expect(main.count()).toEqual({ dialling: 0, open: 0, bad: 0 });
  } finally {
    await Promise.all(threads.map((one) => one.kill()));
  }
}, 60_000);

test('three workers are killed amid their work, many times: what is left is whole', async () => {
  const sab = Roster.create(256, KEY);
  const main = new Roster(sab, 3);
  for (let round = 0; round < 6; round++) {
    const threads = [0, 1, 2].map(() => new Thread('./roster-worker.ts'));
    for (const [worker, one] of threads.entries()) {
      one.send({ role: 'churn', worker, sab, key: KEY, seed: round, count: 1e9 } satisfies RosterTask);
    }
    await new Promise((resolve) => setTimeout(resolve, 30 + 7 * round));
    await Promise.all(threads.map((one) => one.kill()));
    // Two may hold each other's locks: the supervisor goes round until all are dropped.
    const left = new Set([0, 1, 2]);
    for (let tries = 0; left.size > 0 && tries < 10; tries++) {
      for (const worker of [...left]) if (main.dropWorker(worker)) left.delete(worker);
    }
    expect(left.size).toBe(0);
    expect(main.count()).toEqual({ dialling: 0, open: 0, bad: 0 });
    const heir = new Roster(sab, 0);
    const handles = Array.from({ length: 256 }, (_, i) => heir.insert(row({ rsaId: rsa(i) })));
    for (const [i, handle] of handles.entries()) {
      expect(heir.choose(target({ rsaId: rsa(i) })).handle).toBe(handle);
    }
    for (const handle of handles) expect(heir.remove(handle)).toBe(true);
  }
}, 60_000);

interface Known {
  readonly handle: number;
  readonly worker: number;
  readonly peer: number;
  readonly host: number;
  state: 'dialling' | 'open' | 'bad';
  canonical: boolean;
  readonly createdMs: number;
}

for (const seed of [1, 2, 3, 4]) {
  test(`against a plain list, seed ${seed}`, () => {
    const random = seeded(seed);
    const sab = Roster.create(64, KEY);
    const rosters = [0, 1, 2].map((worker) => new Roster(sab, worker));
    let list: Known[] = [];
    const pick = (n: number) => Math.floor(random() * n);
    for (let step = 0; step < 8_000; step++) {
      const worker = pick(3);
      const roster = rosters[worker]!;
      const peer = pick(6);
      const host = pick(3);
      const mine = list.filter((one) => one.worker === worker);
      const some = mine[pick(mine.length)];
      const what = random();
      if (what < 0.4) {
        const wanted = target({ rsaId: rsa(peer), ed25519Id: ed(peer), ipv4: at(host) });
        const open = list.filter(
          (one) => one.peer === peer && one.state === 'open' && (one.canonical || one.host === host),
        );
        open.sort((x, y) => Number(y.canonical) - Number(x.canonical) || x.createdMs - y.createdMs);
        const waiting = list.filter(
          (one) => one.peer === peer && one.state === 'dialling' && one.host === host,
        );
        const choice = roster.chooseOrDial(
          wanted,
          dial({ rsaId: rsa(peer), ed25519Id: ed(peer), address: at(host), createdMs: step }),
        );
        if (open.length > 0) expect(choice).toMatchObject({ verdict: 'open', handle: open[0]!.handle });
        else if (waiting.length > 0) {
          expect(choice.verdict).toBe('dialling');
          expect(waiting.map((one) => one.handle)).toContain(choice.handle);
        } else if (list.length === 64) expect(choice.verdict).toBe('full');
        else {
          expect(choice).toMatchObject({ verdict: 'mine', worker });
          const canonical = false;
          const { handle } = choice;
          list.push({ handle, worker, peer, host, state: 'dialling', canonical, createdMs: step });
        }
      } else if (what < 0.6 && some !== undefined) {
        const canonical = random() < 0.5;
        expect(roster.setOpen(some.handle, { ed25519Id: ed(some.peer), canonical })).toBe(true);
        if (some.state === 'dialling') some.state = 'open';
        some.canonical = canonical;
      } else if (what < 0.7 && some !== undefined) {
        // Everything of that peer that was made before.
        const old = list.filter((one) => one.peer === some.peer && one.createdMs <= some.createdMs);
        const marked = roster.markSuperseded(rsa(some.peer), ed(some.peer), some.createdMs + 0.5, 0);
        expect(marked).toBeGreaterThanOrEqual(old.filter((one) => one.state !== 'bad').length);
        for (const one of list) if (roster.isBad(one.handle)) one.state = 'bad';
        for (const one of old) expect(one.state).toBe('bad');
      } else if (what < 0.95 && some !== undefined) {
        expect(roster.remove(some.handle)).toBe(true);
        expect(roster.remove(some.handle)).toBe(false);
        list = list.filter((one) => one !== some);
      } else if (what > 0.998) {
        expect(roster.dropWorker((worker + 1) % 3)).toBe(true);
        list = list.filter((one) => one.worker !== (worker + 1) % 3);
      }
      expect(roster.count()).toEqual({
        dialling: list.filter((one) => one.state === 'dialling').length,
        open: list.filter((one) => one.state === 'open').length,
        bad: list.filter((one) => one.state === 'bad').length,
      });
    }
  });
}

test('open channels contradict a wrong Ed25519 id, unless they disagree', () => {
  const sab = Roster.create(16);
  const roster = new Roster(sab, 0);
  const { rsaId } = row();
  const claim = new Uint8Array(32).fill(9);
  const other = new Uint8Array(32).fill(8);
  expect(roster.contradicts(rsaId, claim)).toBe(false);
  const dialling = roster.insert(row({ state: 'dialling', ed25519Id: other }));
  expect(roster.contradicts(rsaId, claim)).toBe(false);
  roster.remove(dialling);
  roster.insert(row({ ed25519Id: other }));
  expect(roster.contradicts(rsaId, claim)).toBe(true);
  expect(roster.contradicts(rsaId, other)).toBe(false);
  roster.insert(row({ ed25519Id: new Uint8Array(32).fill(7) }));
  expect(roster.contradicts(rsaId, claim)).toBe(false);
});

test('who has a channel of any kind is linked', () => {
  const sab = Roster.create(16, KEY);
  const main = new Roster(sab, 1);
  const worker = new Roster(sab, 0);
  expect(main.isLinked(rsa(1))).toBe(false);
  const handle = worker.insert(dial());
  expect([main.isLinked(rsa(1)), main.isLinked(rsa(2))]).toEqual([true, false]);
  worker.insert(row({ rsaId: rsa(2), inbound: true }));
  expect(main.isLinked(rsa(2))).toBe(true);
  worker.remove(handle);
  expect(main.isLinked(rsa(1))).toBe(false);
});

test('retired channels of one relay take no new circuits, and their owners find out', () => {
  const sab = Roster.create(16, KEY);
  const main = new Roster(sab, 2);
  const workers = [new Roster(sab, 0), new Roster(sab, 1)] as const;
  const handles = workers.map((worker) => worker.insert(row({ canonical: true })));
  const dialling = workers[0].insert(dial({ address: at(9) }));
  const other = workers[1].insert(row({ rsaId: rsa(2) }));
  expect(main.retire(rsa(1))).toBe(2);
  expect(workers.map((worker, i) => worker.isBad(handles[i]!))).toEqual([true, true]);
  expect([workers[0].isBad(dialling), workers[1].isBad(other)]).toEqual([false, false]);
  expect(workers[0].choose(target()).verdict).toBe('none');
  expect(main.retire(rsa(1))).toBe(0);
  // They are links until they are closed.
  workers[0].remove(dialling);
  expect(main.isLinked(rsa(1))).toBe(true);
  for (const [i, worker] of workers.entries()) worker.remove(handles[i]!);
  expect(main.isLinked(rsa(1))).toBe(false);
});
