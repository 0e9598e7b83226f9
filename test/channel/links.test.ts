/** The life of links, over wires in memory: bounds, deadlines, idling, superseding, refusals. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { OPEN } from '../../src/channel/channel.ts';
import { filled, ID, NEXT_HOST, Rig } from '../circuit/rig.ts';
import { Peer, PeerListener } from '../sim/peer.ts';
import { hello } from '../sim/stub-handshake.ts';

describe('half-open links', () => {
  test('are bounded per address, over all workers', () => {
    const rig = new Rig({ workers: 2, options: { halfOpenPerAddressMax: 3 } });
    const from = { host: Uint8Array.of(203, 0, 113, 77), port: 1 };
    const peers = [0, 1, 0, 1].map((worker) => {
      const peer = Peer.connect(rig.world, rig.relay, { worker, from, mute: true });
      // In this order, whichever worker accepts first.
      rig.settle();
      return peer;
    });
    const other = Peer.connect(rig.world, rig.relay, { worker: 0 });
    rig.settle();
    expect(peers.map(({ gone }) => gone)).toEqual([false, false, false, true]);
    expect(rig.count('link_refused_per_address')).toBe(1);
    expect(other.helloSeen).toBe(true);
    // One that opens makes room, and so does one that goes.
    peers[0]!.sendBytes(hello(null));
    peers[1]!.wire.reset();
    rig.settle();
    const again = [0, 1, 0].map((worker) => {
      const peer = Peer.connect(rig.world, rig.relay, { worker, from, mute: true });
      rig.settle();
      return peer;
    });
    expect(again.map(({ gone }) => gone)).toEqual([false, false, true]);
  });

  test('are bounded in total', () => {
    const rig = new Rig({ options: { halfOpenMax: 2 } });
    const peers = [1, 2, 3].map((n) =>
      Peer.connect(rig.world, rig.relay, {
        from: { host: Uint8Array.of(203, 0, 113, n), port: 1 },
        mute: true,
      }),
    );
    rig.settle();
    expect(peers.map(({ gone }) => gone)).toEqual([false, false, true]);
    expect(rig.count('link_refused_total')).toBe(1);
  });

  test('that end as their handshake is written count for nothing any more', () => {
    const rig = new Rig();
    const peer = Peer.connect(rig.world, rig.relay, { mute: true });
    const link = peer.wire.other;
    link.write = () => {
      link.end();
      return 0;
    };
    rig.settle();
    const { links } = rig.relay.workers[0]!.data;
    expect([links.halfOpen, links.halfOpenBytes]).toEqual([0, 0]);
    expect(rig.count('link_tls_failed')).toBe(1);
  });

  test('have a deadline', () => {
    const rig = new Rig({ options: { handshakeTimeoutMs: 5000 } });
    const mute = Peer.connect(rig.world, rig.relay, { mute: true });
    rig.world.pass(4800);
    expect(mute.gone).toBe(false);
    rig.world.pass(400);
    expect(mute.gone).toBe(true);
    expect(rig.count('link_handshake_timeout')).toBe(1);
    expect(rig.relay.workers[0]!.data.links.halfOpen).toBe(0);
    expect(rig.client.gone).toBe(false);
  });

  test('that send nonsense are closed, and a reset is no handshake', () => {
    const rig = new Rig();
    const mute = Peer.connect(rig.world, rig.relay, { mute: true });
    rig.settle();
    mute.wire.reset();
    rig.settle();
    expect(rig.count('link_tls_failed')).toBe(1);
    expect(rig.count('links_closed')).toBe(1);
  });

  test('cells that come with the end of the handshake are taken', () => {
    const rig = new Rig();
    const peer = Peer.connect(rig.world, rig.relay, { mute: true });
    const create = new Uint8Array(514);
    create.set([0x80, 0, 0, 9, Command.CREATE_FAST]);
    peer.sendBytes(new Uint8Array([...hello(null), ...create]));
    rig.settle();
    peer.expect(Command.CREATED_FAST, 0x80000009);
  });
});

describe('open links', () => {
  test('of relays whose clock is far off are counted', () => {
    const rig = new Rig();
    const peer = Peer.connect(rig.world, rig.relay, { mute: true });
    peer.sendBytes(hello({ rsaId: filled(20, 1), ed25519Id: filled(32, 1) }, 5, true));
    rig.settle();
    expect(rig.count('link_clock_skew')).toBe(1);
    expect(peer.gone).toBe(false);
  });

  test('of one RSA identity with ever new Ed25519 identities are listed up to a bound', () => {
    const rig = new Rig();
    for (let i = 0; i < 70; i++) {
      Peer.connect(rig.world, rig.relay, {
        worker: 0,
        identity: { rsaId: filled(20, 9), ed25519Id: filled(32, i + 1) },
      });
      rig.settle();
    }
    expect(rig.relay.roster.count()).toEqual({ dialling: 0, open: 64, bad: 0 });
    expect(rig.count('roster_identity_full')).toBe(6);
    expect(rig.count('roster_full')).toBe(0);
  });

  test('of clients stand in no roster, those of relays do', () => {
    const rig = new Rig();
    expect(rig.relay.roster.count().open).toBe(0);
    Peer.connect(rig.world, rig.relay, { identity: { rsaId: filled(20, 1), ed25519Id: filled(32, 1) } });
    rig.settle();
    expect(rig.relay.roster.count().open).toBe(1);
  });
});

describe('dials', () => {
  test('hold no one up: a black hole, a slow peer and a good one at once', () => {
    const rig = new Rig({ options: { handshakeTimeoutMs: 60_000 } });
    const slow = new PeerListener(rig.world, Uint8Array.of(198, 51, 100, 44), { mute: true });
    rig.open(ID).extend({ ...rig.next.hop, host: Uint8Array.of(198, 51, 100, 45), port: 1 });
    rig.open(ID + 1).extend({ ...rig.next.hop, ...slow.identity, host: slow.host });
    const circuit = rig.openTwo(ID + 2);
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.relay.workers[0]!.data.links.halfOpen).toBe(2);
  });

  test('that come up after their channel was given up are dropped', () => {
    const rig = new Rig();
    const { links, channels } = rig.relay.workers[0]!.data;
    rig.open().extend(rig.next.hop);
    while (rig.count('links_dialled') === 0) rig.world.step();
    links.close(channels.bySlot.find((one) => one?.initiated)!);
    rig.settle();
    expect(rig.next.peers[0]!.gone).toBe(true);
    expect(rig.client.take().command).toBe(Command.DESTROY);
    expect(links.dialling).toBe(0);
    expect(NEXT_HOST.length).toBe(4);
  });

  test('are bounded', () => {
    const rig = new Rig({ options: { linksMax: 400 } });
    const { links } = rig.relay.workers[0]!.data;
    const target = { rsaId: filled(20, 1), ed25519Id: null, host: NEXT_HOST, port: 1 };
    let dialled = 0;
    while (links.dial(target, -1, null) !== null) dialled++;
    expect(dialled).toBe(100);
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(6);
    expect(rig.count('link_dial_refused')).toBe(2);
    expect(rig.relay.roster.count().dialling).toBe(0);
  });
});

test('closing everything closes everything', () => {
  const rig = new Rig();
  rig.openTwo();
  const { data } = rig.relay.workers[0]!;
  expect(data.channels.bySlot.filter((channel) => channel?.state === OPEN).length).toBe(2);
  data.links.closeAll();
  rig.settle();
  expect([rig.client.gone, rig.next.peers[0]!.gone, data.channels.count]).toEqual([true, true, 0]);
  rig.expectEmpty();
});
