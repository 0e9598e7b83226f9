/** Links of clients, bounded and rated over two workers; who is spared; what is counted. */

import { describe, expect, test } from 'bun:test';
import type { DosLimits } from '../../src/shm/dos-table.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { filled, Rig } from '../circuit/rig.ts';
import { DOS_LIMITS } from '../shm/dos-limits.ts';
import { Peer } from '../sim/peer.ts';
import { hello } from '../sim/stub-handshake.ts';

const HOST = Uint8Array.of(203, 0, 113, 66);
const OTHER = Uint8Array.of(203, 0, 113, 67);
const RELAY = { rsaId: filled(20, 5), ed25519Id: filled(32, 5) };

/** An IPv6 address of one /48. */
function v6(lan: number, rest: number): Uint8Array {
  return Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 1, 0, lan, 0, 0, 0, 0, 0, 0, 0, rest);
}

class DosRig {
  readonly rig: Rig;
  private next = 0;

  constructor(limits: Partial<DosLimits>, options: { relayIndex?: RelayIndex } = {}) {
    this.rig = new Rig({ workers: 2, options: { dos: { ...DOS_LIMITS, ...limits } }, ...options });
  }

  /** Dial from an address, by turns to either worker, and say whether it was let in. */
  dial(host: Uint8Array, identity?: typeof RELAY): { peer: Peer; isIn: boolean } {
    const peer = Peer.connect(this.rig.world, this.rig.relay, {
      worker: this.next++ % 2,
      from: { host, port: 1 },
      ...(identity === undefined ? {} : { identity }),
    });
    this.rig.settle();
    return { peer, isIn: !peer.gone };
  }

  /** Dial so often; how many were let in. */
  dials(host: Uint8Array, times: number, identity?: typeof RELAY): number {
    let admitted = 0;
    for (let i = 0; i < times; i++) if (this.dial(host, identity).isIn) admitted++;
    return admitted;
  }

  count(name: CounterName): number {
    return this.rig.count(name);
  }

  connections(host: Uint8Array): number {
    return this.rig.relay.dos.connectionsOf(host);
  }
}

describe('links of one address', () => {
  test('are refused past the bound over all workers, half open or not, until one goes', () => {
    const world = new DosRig({ connectionsMax: 4 });
    const first = world.dial(HOST);
    const mute = Peer.connect(world.rig.world, world.rig.relay, {
      from: { host: HOST, port: 1 },
      mute: true,
    });
    expect(world.dials(HOST, 5)).toBe(2);
    expect(world.count('dos_link_refused_concurrent')).toBe(3);
    expect(world.dial(OTHER).isIn).toBe(true);
    // What was refused takes no place among half-open links either.
    expect(world.count('links_accepted')).toBe(6);
    for (const gone of [first.peer, mute]) gone.wire.reset();
    world.rig.settle();
    expect(world.dials(HOST, 3)).toBe(2);
    expect(world.connections(HOST)).toBe(4);
  });

  test('that come too fast mark it for its next ones; others come in', () => {
    const world = new DosRig({ connectRate: 1, connectBurst: 5, connectMarkMs: 60_000 });
    expect(world.dials(HOST, 8)).toBe(5);
    expect([world.count('dos_link_marks'), world.count('dos_link_refused_marked')]).toEqual([1, 3]);
    expect(world.dial(OTHER).isIn).toBe(true);
    // A period and a half is the longest; less than one the shortest cannot be.
    world.rig.world.pass(59_000);
    expect(world.dial(HOST).isIn).toBe(false);
    world.rig.world.pass(31_500);
    expect(world.dial(HOST).isIn).toBe(true);
  });

  test('are not looked at while the defences are off', () => {
    const world = new DosRig({ connectionsWatched: false, circuitsWatched: false, connectionsMax: 1 });
    expect(world.dials(HOST, 3)).toBe(3);
    expect(world.connections(HOST)).toBe(0);
  });

  test('obey new options at once', () => {
    const world = new DosRig({ connectionsMax: 2 });
    expect(world.dials(HOST, 3)).toBe(2);
    for (const { data } of world.rig.relay.workers) {
      data.setOptions({ ...data.plane.options, dos: { ...DOS_LIMITS, connectionsMax: 3 } });
    }
    expect(world.dials(HOST, 3)).toBe(1);
    for (const { data } of world.rig.relay.workers) {
      const off = { ...DOS_LIMITS, connectionsWatched: false, circuitsWatched: false };
      data.setOptions({ ...data.plane.options, dos: off });
    }
    expect(world.dials(HOST, 3)).toBe(3);
    // Those that were counted leave the count as they go.
    world.rig.relay.workers[0]!.data.links.closeAll();
    world.rig.relay.workers[1]!.data.links.closeAll();
    world.rig.settle();
    expect(world.rig.relay.dos.total()).toBe(0);
  });
});

describe('IPv6 prefixes', () => {
  test('are bounded and marked as a whole', () => {
    const world = new DosRig({ connectionsMax: 1 });
    for (let i = 1; i <= 4; i++) expect(world.dial(v6(1, i)).isIn).toBe(true);
    expect(world.dial(v6(1, 5)).isIn).toBe(false);
    expect(world.count('dos_link_refused_net_concurrent')).toBe(1);
    expect(world.dial(v6(2, 1)).isIn).toBe(true);
    const fast = new DosRig({ connectRate: 1, connectBurst: 2 });
    for (let i = 1; i <= 8; i++) expect(fast.dial(v6(1, i)).isIn).toBe(true);
    expect(fast.dial(v6(1, 9)).isIn).toBe(false);
    expect([fast.count('dos_link_marks'), fast.count('dos_link_refused_net_marked')]).toEqual([1, 1]);
    expect(fast.dial(v6(2, 1)).isIn).toBe(true);
  });
});

describe('relays', () => {
  const listed = { rsaId: RELAY.rsaId, ipv4: { host: OTHER, port: 9001 }, ipv6: null };
  const authority = Uint8Array.of(192, 0, 2, 1);
  const relayIndex = new RelayIndex(RelayIndex.create([listed], [authority]));
  const STRICT = { connectionsMax: 2, connectRate: 1, connectBurst: 4 };

  test('are spared at their listed addresses, and so are authorities', () => {
    const world = new DosRig(STRICT, { relayIndex });
    expect(world.dials(OTHER, 10)).toBe(10);
    expect(world.dials(authority, 10)).toBe(10);
    expect([world.connections(OTHER), world.connections(authority)]).toEqual([0, 0]);
    expect(world.dials(HOST, 10)).toBe(2);
  });

  test('that authenticate from elsewhere leave the count, those of their own making stay', () => {
    const world = new DosRig({ ...STRICT, connectBurst: 100 }, { relayIndex });
    expect(world.dials(HOST, 5, RELAY)).toBe(5);
    expect(world.connections(HOST)).toBe(0);
    const made = { rsaId: filled(20, 77), ed25519Id: filled(32, 77) };
    expect(world.dials(HOST, 5, made)).toBe(2);
    expect(world.connections(HOST)).toBe(2);
  });

  test('are all whom we dial', () => {
    const world = new DosRig({ connectionsMax: 1 });
    const { rig } = world;
    rig.openTwo();
    expect(world.connections(rig.next.hop.host)).toBe(0);
  });

  test('are all that authenticate, as long as no consensus is known', () => {
    const world = new DosRig(STRICT);
    const made = { rsaId: filled(20, 77), ed25519Id: filled(32, 77) };
    expect(world.dials(HOST, 3, made)).toBe(3);
    expect(world.connections(HOST)).toBe(0);
  });
});

test('a link that fails its handshake is counted once and leaves once', () => {
  const world = new DosRig({});
  const { rig } = world;
  const peer = Peer.connect(rig.world, rig.relay, { from: { host: HOST, port: 1 }, mute: true });
  rig.settle();
  expect(world.connections(HOST)).toBe(1);
  peer.sendBytes(hello(RELAY));
  rig.settle();
  expect(world.connections(HOST)).toBe(0);
  peer.wire.reset();
  rig.settle();
  expect(rig.relay.dos.total()).toBe(1);
});

test('addresses for which there is no room are let in, and counted as such', () => {
  const world = new DosRig({ connectionsMax: 1 });
  // The table of the simulator has a thousand places, in buckets of sixteen.
  for (let i = 0; i < 1500; i++) world.dial(Uint8Array.of(198, 18, i >> 8, i & 255));
  expect(world.count('dos_link_refused_concurrent')).toBe(0);
  expect(world.count('dos_no_room')).toBeGreaterThan(400);
});
