/** Who may have how many dials under way. */
import { describe, expect, test } from 'bun:test';
import { parseIp } from '../../src/bytes/address.ts';
import type { Channel } from '../../src/channel/channel.ts';
import { DialBudget, type DialTicket } from '../../src/channel/dial-budget.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import { Scoreboard } from '../../src/shm/scoreboard.ts';
import { filled, ID, NEXT_HOST, Rig } from '../circuit/rig.ts';
import { Peer } from '../sim/peer.ts';
import { OPTIONS } from '../sim/relay.ts';

const V4 = { host: parseIp('192.0.2.9')!, port: 9001 };
const V6 = { host: parseIp('2001:db8::9')!, port: 9002 };
const LISTED = filled(20, 9);
const INDEX = new RelayIndex(RelayIndex.create([{ rsaId: LISTED, ipv4: V4, ipv6: V6 }]));
const EMPTY = new RelayIndex(RelayIndex.create([]));

const stranger = { rsaId: filled(20, 1), host: V4.host, port: 1 };
const link = (peerRsaId: Uint8Array | null = null) => ({ peerRsaId, askedDials: 0 }) as Channel;

function budgetOf(index: RelayIndex): DialBudget {
  return new DialBudget(new Scoreboard(Scoreboard.create(1), 0), () => index);
}

/** A worker of 80 links may have 20 dials. */
const options = { ...OPTIONS, linksMax: 80, dialsPerLinkMax: 3, dialsPerRelayMax: 5 };

describe('half of the dials', () => {
  function fill(budget: DialBudget, target: typeof stranger): DialTicket[] {
    const out: DialTicket[] = [];
    for (;;) {
      const ticket = budget.take(target, null, options);
      if (ticket === null) return out;
      out.push(ticket);
    }
  }

  test('is kept for relays at the addresses that the consensus gives them', () => {
    for (const other of [
      stranger,
      { ...stranger, ...V4 },
      { rsaId: LISTED, host: V4.host, port: V4.port + 1 },
      { rsaId: LISTED, host: V4.host, port: V6.port },
      { rsaId: LISTED, host: V6.host, port: V4.port },
      { rsaId: LISTED, host: parseIp('192.0.2.8')!, port: V4.port },
    ]) {
      const budget = budgetOf(INDEX);
      expect(fill(budget, other).length).toBe(10);
      expect(fill(budget, { rsaId: LISTED, ...V4 }).length).toBe(10);
      expect(budget.count).toBe(20);
    }
    expect(fill(budgetOf(INDEX), { rsaId: LISTED, ...V6 }).length).toBe(20);
  });

  test('comes back as dials end', () => {
    const budget = budgetOf(INDEX);
    const tickets = fill(budget, stranger);
    budget.giveBack(tickets.pop()!);
    tickets.push(...fill(budget, stranger));
    expect(tickets.length).toBe(10);
    tickets.push(...fill(budget, { rsaId: LISTED, ...V4 }));
    for (const ticket of tickets) budget.giveBack(ticket);
    expect(budget.count).toBe(0);
    expect(fill(budget, stranger).length).toBe(10);
  });

  test('is for anyone before there is a consensus', () => {
    expect(fill(budgetOf(EMPTY), stranger).length).toBe(20);
  });
});

test('a link may have a few asked for, that of a listed relay more, and another link is another', () => {
  const budget = budgetOf(INDEX);
  for (const [asker, max] of [
    [link(), 3],
    [link(filled(20, 7)), 3],
    [link(LISTED), 5],
  ] as const) {
    for (let i = 0; i < max; i++)
      expect(budget.take({ rsaId: LISTED, ...V4 }, asker, options)).not.toBeNull();
    expect(budget.take({ rsaId: LISTED, ...V4 }, asker, options)).toBeNull();
    expect(asker.askedDials).toBe(max);
  }
  expect(budget.count).toBe(11);
});

describe('a client that extends to black holes', () => {
  /** Extend a new circuit of `peer` to nowhere. */
  function hang(rig: Rig, circId: number, rsaId: Uint8Array): void {
    rig.open(circId).extend({ ...rig.next.hop, rsaId, host: NEXT_HOST, port: 1 });
    rig.settle();
  }

  test('runs into its own bound, also after its dials’ deadline, and others extend on', () => {
    const rig = new Rig({ options: { dialsPerLinkMax: 3, handshakeTimeoutMs: 2000 } });
    for (let i = 0; i < 3; i++) hang(rig, ID + i, filled(20, 100 + i));
    expect(rig.client.cells).toEqual([]);
    hang(rig, ID + 3, filled(20, 103));
    rig.expectDestroyed(6, ID + 3);
    expect(rig.count('link_dial_refused_per_link')).toBe(1);
    expect(rig.relay.roster.count().dialling).toBe(3);
    rig.world.pass(3000);
    rig.client.cells.length = 0;
    hang(rig, ID + 4, filled(20, 104));
    rig.expectDestroyed(6, ID + 4);
    expect(rig.count('link_dial_refused_per_link')).toBe(2);
    // A dial that is answered does not count any more.
    const good = new Rig({ options: { dialsPerLinkMax: 1 } });
    good.openTwo(ID);
    hang(good, ID + 1, filled(20, 100));
    expect(good.count('link_dial_refused_per_link')).toBe(0);
    hang(good, ID + 2, filled(20, 101));
    expect(good.count('link_dial_refused_per_link')).toBe(1);
  });

  test('leaves other links, and listed relays, their dials', () => {
    const rig = new Rig({
      options: { linksMax: 48, dialsPerLinkMax: 100 },
      relayIndex: new RelayIndex(
        RelayIndex.create([{ rsaId: filled(20, 200), ipv4: { host: NEXT_HOST, port: 1 }, ipv6: null }]),
      ),
    });
    for (let i = 0; i < 6; i++) hang(rig, ID + i, filled(20, 100 + i));
    expect(rig.client.cells).toEqual([]);
    hang(rig, ID + 6, filled(20, 106));
    rig.expectDestroyed(6, ID + 6);
    expect(rig.count('link_dial_refused_unlisted')).toBe(1);
    hang(rig, ID + 7, filled(20, 200));
    expect(rig.client.cells).toEqual([]);
    expect(rig.relay.workers[0]!.data.links.dialling).toBe(7);
    expect(rig.count('link_dial_refused')).toBe(0);
  });

  test('holds up no other client', () => {
    const rig = new Rig({ options: { dialsPerLinkMax: 2 } });
    for (let i = 0; i < 3; i++) hang(rig, ID + i, filled(20, 100 + i));
    rig.expectDestroyed(6, ID + 2);
    const { links, channels } = rig.relay.workers[0]!.data;
    Peer.connect(rig.world, rig.relay, { worker: 0 });
    rig.settle();
    const asker = channels.bySlot.findLast((one) => one !== null && !one.initiated)!;
    expect(links.dial({ ...stranger, ed25519Id: null }, -1, asker)).not.toBeNull();
  });
});
