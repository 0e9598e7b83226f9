/** EXTEND2 on the running relay: which link it takes, what it refuses and why, and what a hung dial costs others. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { type LinkSpecifier, LinkSpecifierType, specifiersOf } from '../../src/cell/extend.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import type { CounterName } from '../../src/shm/counter.ts';
import { makeTestRelay } from '../channel/credentials.ts';
import { BlackHole } from './black-hole.ts';
import { EchoRelay } from './echo-relay.ts';
import { freePorts } from './free-ports.ts';
import { waitUntil } from './network-node.ts';
import { RelayProcess } from './relay-process.ts';
import { Refused, specifiersFor, TestCircuit } from './test-circuit.ts';
import { dialTestLink, type TestLink } from './test-link.ts';

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const { credentials } = makeTestRelay(Math.floor(Date.now() / 1000));
let relay: RelayProcess;
let link: TestLink;

async function openLink(to = relay): Promise<TestLink> {
  const fresh = dialTestLink({ port: to.port(), credentials });
  await fresh.opened;
  return fresh;
}

/** A link on which `peer` says who it is, open on both sides. */
async function openAs(peer: EchoRelay): Promise<TestLink> {
  const own = peer.relay.credentials;
  const inbound = dialTestLink({ port: relay.port(), credentials: own, authenticate: true });
  await inbound.opened;
  // Ours is open a little earlier than theirs: until then it is no link to extend over.
  (await TestCircuit.createFast(inbound)).destroy();
  return inbound;
}

/** Client links until each of the two workers has one; by worker. */
async function linksOfBothWorkers(to = relay): Promise<[TestLink, TestLink]> {
  const links: (TestLink | undefined)[] = [];
  for (let tries = 0; tries < 40; tries++) {
    const before = (await to.dump()).workers;
    const fresh = await openLink(to);
    const after = (await to.dump()).workers;
    const worker = after[0]!.channels > before[0]!.channels ? 0 : 1;
    if (links[worker] === undefined) links[worker] = fresh;
    else fresh.close();
    if (links[0] !== undefined && links[1] !== undefined) return [links[0], links[1]];
  }
  throw new Error('all connections went to one worker');
}

beforeAll(async () => {
  relay = await RelayProcess.start();
  link = await openLink();
}, 120_000);

afterAll(async () => {
  relay.assertWell();
  link.close();
  await relay.stop();
});

describe('one link serves the circuits of both workers', () => {
  test('for two circuits one after the other', async () => {
    const next = new EchoRelay();
    const before = await relay.counters('links_dialled', 'cells_ring_received');
    for (const client of await linksOfBothWorkers()) {
      const circuit = await TestCircuit.createFast(client);
      await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
      for (let i = 0; i < 20; i++) await circuit.echo();
    }
    const after = await relay.counters('links_dialled', 'cells_ring_received', 'leg_opened');
    expect(after.links_dialled).toBe(before.links_dialled + 1);
    expect(after.cells_ring_received).toBeGreaterThanOrEqual(before.cells_ring_received + 40);
    expect(after.leg_opened).toBeGreaterThan(0);
    expect(next.links.length).toBe(1);
    next.stop();
  }, 120_000);

  test('for twenty circuits that all wait for the same dial', async () => {
    const next = new EchoRelay();
    const clients = await linksOfBothWorkers();
    const circuits = await Promise.all(
      Array.from({ length: 20 }, (_, i) => TestCircuit.createFast(clients[i % 2]!)),
    );
    await Promise.all(
      circuits.map((circuit) => circuit.extend(next.hop, { host: LOOPBACK, port: next.port })),
    );
    await Promise.all(circuits.map((circuit) => circuit.echo()));
    expect(next.links.length).toBe(1);
    next.stop();
  }, 120_000);

  test('and its end ends them all with CHANNEL_CLOSED', async () => {
    const next = new EchoRelay();
    const circuits: TestCircuit[] = [];
    for (const client of await linksOfBothWorkers()) {
      const circuit = await TestCircuit.createFast(client);
      await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
      circuits.push(circuit);
    }
    next.links[0]!.close();
    for (const circuit of circuits) {
      expect(await circuit.receive()).toEqual({ destroyed: DestroyReason.CHANNEL_CLOSED });
    }
    // The next EXTEND2 dials anew.
    const circuit = await TestCircuit.createFast(circuits[0]!.link);
    await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
    await circuit.echo();
    next.stop();
  }, 120_000);
});

describe('ends cross the workers', () => {
  test('DESTROY both ways, and TRUNCATE with its reason', async () => {
    const next = new EchoRelay();
    for (const client of await linksOfBothWorkers()) {
      const extended = async (): Promise<TestCircuit> => {
        const circuit = await TestCircuit.createFast(client);
        await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
        return circuit;
      };
      const byClient = await extended();
      const heard = next.destroys.length;
      byClient.destroy(DestroyReason.REQUESTED);
      await waitUntil('DESTROY at the next hop', 60_000, () => next.destroys.length > heard);
      expect(next.destroys[heard]).toBe(DestroyReason.DESTROYED);

      const byNext = await extended();
      const { link: nextLink, circId } = next.creates.at(-1)!;
      new TestCircuit(nextLink, circId).destroy(DestroyReason.HIBERNATING);
      expect(await byNext.receive()).toEqual({ destroyed: DestroyReason.DESTROYED });

      const cut = await extended();
      cut.send(RelayCommand.TRUNCATE, Uint8Array.of(DestroyReason.FINISHED), { hop: 0 });
      expect(await cut.receive()).toMatchObject({ hop: 0, command: RelayCommand.TRUNCATED });
      await waitUntil('TRUNCATE at the next hop', 60_000, () => next.destroys.length > heard + 1);
      expect(next.destroys.at(-1)).toBe(DestroyReason.FINISHED);
      cut.layers.pop();
      await cut.extend(next.hop, { host: LOOPBACK, port: next.port });
      await cut.echo();
    }
    next.stop();
  }, 120_000);
});

describe('a black hole', () => {
  // A relay of its own: extends have deadlines in the order in which they began.
  let hasty: RelayProcess;
  const next = new EchoRelay();

  beforeAll(async () => {
    hasty = await RelayProcess.start();
    await hasty.setOption('extendTimeoutMs', 4000);
  }, 120_000);

  afterAll(async () => {
    hasty.assertWell();
    next.stop();
    await hasty.stop();
  });

  test('holds up nobody who goes to the true address, and the circuit that waits for it ends', async () => {
    const hole = await BlackHole.open();
    const [one, other] = await linksOfBothWorkers(hasty);
    const hung = await TestCircuit.createFast(one);
    const ended = hung.tryExtend(specifiersFor(next.hop, { host: hole.host, port: hole.port }));
    for (const client of [one, other]) {
      const circuit = await TestCircuit.createFast(client);
      await circuit.extend(next.hop, { host: LOOPBACK, port: next.port });
      await circuit.echo();
    }
    expect(await hasty.counters('extend_timeout')).toEqual({ extend_timeout: 0 });
    expect(await ended).toEqual({ destroyed: DestroyReason.FINISHED });
    expect((await hasty.counters('extend_timeout')).extend_timeout).toBe(1);
    hole.stop();
  }, 120_000);

  test('is the same as a peer that never answers CREATE2, which is told', async () => {
    next.mute = true;
    for (const client of await linksOfBothWorkers(hasty)) {
      const heard = next.destroys.length;
      const circuit = await TestCircuit.createFast(client);
      const ended = circuit.tryExtend(specifiersFor(next.hop, { host: LOOPBACK, port: next.port }));
      expect(await ended).toEqual({ destroyed: DestroyReason.FINISHED });
      await waitUntil('DESTROY at the mute hop', 60_000, () => next.destroys.length > heard);
    }
  }, 120_000);

  test('asked for again and again has a bound, as the kernel gives a dial up only after minutes', async () => {
    const hole = await BlackHole.open();
    const client = await openLink();
    await relay.setOption('handshakeTimeoutMs', 4000);
    await relay.setOption('linksMax', 40);
    const strangers = Array.from({ length: 14 }, () => ({
      ...next.hop,
      rsaId: crypto.getRandomValues(new Uint8Array(20)),
    }));
    const ends = await Promise.all(
      strangers.map(async (hop) => {
        const circuit = await TestCircuit.createFast(client);
        return await circuit.tryExtend(specifiersFor(hop, { host: hole.host, port: hole.port }));
      }),
    );
    // A quarter of the links may be dials: the rest is refused, and so is what comes when their time is over.
    const reasons = ends.map((end) => ('destroyed' in end ? end.destroyed : -1)).sort((a, b) => a - b);
    expect(reasons.filter((reason) => reason === DestroyReason.CHANNEL_CLOSED).length).toBe(10);
    expect(reasons.filter((reason) => reason === DestroyReason.CONNECTFAILED).length).toBe(4);
    const there = { host: LOOPBACK, port: next.port };
    next.mute = false;
    const refusal = await (await TestCircuit.createFast(client))
      .extend(next.hop, there)
      .catch((error) => error);
    expect(refusal).toEqual(new Refused(DestroyReason.CONNECTFAILED));
    // With the hole gone, the kernel hears a refusal, and all is as before.
    hole.stop();
    await waitUntil('the dials to end', 60_000, async () => {
      const circuit = await TestCircuit.createFast(client);
      const ended = await circuit.extend(next.hop, there).catch((error: unknown) => error);
      return ended === undefined;
    });
    await relay.setOption('linksMax', 1000);
    await relay.setOption('handshakeTimeoutMs', 60_000);
    client.close();
  }, 120_000);

  test('is given up when a link has had its time, and may be dialled again', async () => {
    const hole = await BlackHole.open();
    const stranger = { ...next.hop, rsaId: crypto.getRandomValues(new Uint8Array(20)) };
    await relay.setOption('handshakeTimeoutMs', 1500);
    const { link_handshake_timeout } = await relay.counters('link_handshake_timeout');
    for (let i = 1; i <= 2; i++) {
      const hung = await TestCircuit.createFast(link);
      const ended = hung.tryExtend(specifiersFor(stranger, { host: hole.host, port: hole.port }));
      expect(await ended).toEqual({ destroyed: DestroyReason.CHANNEL_CLOSED });
      const after = await relay.counters('link_handshake_timeout');
      expect(after.link_handshake_timeout).toBe(link_handshake_timeout + i);
    }
    await relay.setOption('handshakeTimeoutMs', 60_000);
    hole.stop();
  }, 120_000);
});

describe('EXTEND2 is refused', () => {
  const next = new EchoRelay();
  afterAll(() => next.stop());
  const there = () => ({ host: LOOPBACK, port: next.port });

  function refused(
    what: string,
    reason: number,
    counter: CounterName | null,
    specifiers: () => readonly LinkSpecifier[],
  ): void {
    test(what, async () => {
      const before = counter === null ? 0 : (await relay.counters(counter))[counter];
      const circuit = await TestCircuit.createFast(link);
      expect(await circuit.tryExtend(specifiers())).toEqual({ destroyed: reason });
      if (counter !== null) expect((await relay.counters(counter))[counter]).toBe(before + 1);
    });
  }

  const named = (): LinkSpecifier[] => specifiersFor(next.hop, there());
  const without = (type: number): LinkSpecifier[] => named().filter((specifier) => specifier.type !== type);
  const twice = (type: number): LinkSpecifier[] => [
    ...named(),
    ...named().filter((specifier) => specifier.type === type),
  ];
  const ipv4 = (host: Uint8Array, port: number): LinkSpecifier[] => specifiersFor(next.hop, { host, port });
  const { PROTOCOL, CONNECTFAILED, CHANNEL_CLOSED } = DestroyReason;

  refused('without the RSA id', PROTOCOL, 'extend_no_rsa_id', () => without(LinkSpecifierType.RSA_ID));
  refused('with an RSA id of zeros', PROTOCOL, 'extend_zero_id_refused', () =>
    specifiersFor({ ...next.hop, rsaId: new Uint8Array(20) }, there()),
  );
  refused('without an address', PROTOCOL, 'extend_no_address_refused', () => without(LinkSpecifierType.IPV4));
  refused('to port 0', PROTOCOL, 'extend_zero_port_refused', () => ipv4(LOOPBACK, 0));
  refused('with the RSA id twice', PROTOCOL, 'extend_malformed', () => twice(LinkSpecifierType.RSA_ID));
  refused('with the Ed25519 id twice', PROTOCOL, 'extend_malformed', () =>
    twice(LinkSpecifierType.ED25519_ID),
  );
  refused('to itself by RSA id', CONNECTFAILED, 'extend_self_refused', () =>
    specifiersFor({ ...next.hop, rsaId: relay.rsaId }, there()),
  );
  refused('to itself by Ed25519 id', CONNECTFAILED, 'extend_self_refused', () =>
    specifiersFor({ ...next.hop, ed25519Id: relay.ed25519Id }, there()),
  );
  refused('over IPv6 alone, by a relay without it', CONNECTFAILED, 'extend_ipv6_unavailable', () =>
    specifiersFor(next.hop, { host: IPV6_LOOPBACK, port: next.port }),
  );
  refused('with another RSA id', CHANNEL_CLOSED, 'link_handshake_wrong_identity', () =>
    specifiersFor({ ...next.hop, rsaId: new Uint8Array(20).fill(9) }, there()),
  );
  refused('with another Ed25519 id', CHANNEL_CLOSED, 'link_handshake_wrong_identity', () =>
    specifiersFor({ ...next.hop, ed25519Id: new Uint8Array(32).fill(9) }, there()),
  );
  refused('to a port where nobody listens', CHANNEL_CLOSED, 'link_dial_failed', () =>
    specifiersFor(
      { ...next.hop, rsaId: new Uint8Array(20).fill(8) },
      { host: LOOPBACK, port: freePorts(1)[0]! },
    ),
  );

  test('for what follows the specifiers: cut short', async () => {
    const circuit = await TestCircuit.createFast(link);
    circuit.send(RelayCommand.EXTEND2, Uint8Array.of(2, 0, 6, 127, 0), { early: true });
    expect(await circuit.receive()).toEqual({ destroyed: PROTOCOL });
  });

  test('to someone who is no TLS server, or hangs up', async () => {
    for (const greeting of ['HTTP/1.0 400 Bad Request\r\n\r\n', null]) {
      const listener = Bun.listen({
        hostname: '127.0.0.1',
        port: 0,
        socket: {
          open(socket) {
            if (greeting === null) socket.terminate();
            else socket.write(greeting);
          },
          data() {},
        },
      });
      const circuit = await TestCircuit.createFast(link);
      const hop = { ...next.hop, rsaId: crypto.getRandomValues(new Uint8Array(20)) };
      const ended = await circuit.tryExtend(specifiersFor(hop, { host: LOOPBACK, port: listener.port }));
      expect(ended).toEqual({ destroyed: CHANNEL_CLOSED });
      listener.stop(true);
    }
  });

  test('a second time on one circuit; the next hop is told', async () => {
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(next.hop, there());
    const heard = next.destroys.length;
    circuit.layers.pop();
    expect(await circuit.tryExtend(named())).toEqual({ destroyed: PROTOCOL });
    await waitUntil('DESTROY at the next hop', 60_000, () => next.destroys.length > heard);
  });

  test('back to the previous hop, by either id', async () => {
    const back = new EchoRelay();
    const from = await openAs(back);
    const at = { host: LOOPBACK, port: back.port };
    for (const hop of [
      { ...next.hop, rsaId: back.hop.rsaId },
      { ...next.hop, ed25519Id: back.hop.ed25519Id },
    ]) {
      const circuit = await TestCircuit.createFast(from);
      expect(await circuit.tryExtend(specifiersFor(hop, at))).toEqual({ destroyed: PROTOCOL });
    }
    from.close();
    back.stop();
  });

  test('in a plain RELAY, or with a stream id: silently, and the circuit lives on', async () => {
    const circuit = await TestCircuit.createFast(link);
    const before = await relay.counters('extend_not_in_relay_early', 'extend_nonzero_stream');
    for (const how of [{ early: false }, { early: true, streamId: 5 }]) {
      const ended = circuit.tryExtend(named(), how);
      circuit.send(RelayCommand.TRUNCATE, Uint8Array.of(0));
      expect(await ended).toMatchObject({ command: RelayCommand.TRUNCATED });
    }
    expect(await relay.counters('extend_not_in_relay_early', 'extend_nonzero_stream')).toEqual({
      extend_not_in_relay_early: before.extend_not_in_relay_early + 1,
      extend_nonzero_stream: before.extend_nonzero_stream + 1,
    });
    await circuit.extend(next.hop, there());
    await circuit.echo();
  });

  test('but not for two IPv4 addresses, unknown specifiers, or an Ed25519 id of zeros', async () => {
    const wrongFirst = [...named(), ...ipv4(LOOPBACK, 1).slice(0, 1)];
    const unknown = [{ type: 77, body: new Uint8Array(9) }, ...named()];
    const zeros = specifiersOf({
      rsaId: next.hop.rsaId,
      ed25519Id: new Uint8Array(32),
      ipv4: there(),
      ipv6: null,
    });
    for (const specifiers of [wrongFirst, unknown, zeros]) {
      const circuit = await TestCircuit.createFast(link);
      const made = next.creates.length;
      const ended = circuit.tryExtend(specifiers, { handshakeType: 99 });
      await waitUntil('CREATE2 at the next hop', 60_000, () => next.creates.length > made);
      const { link: nextLink, circId } = next.creates.at(-1)!;
      // The next hop does not know the handshake type either.
      new TestCircuit(nextLink, circId).sendCell(Command.DESTROY, Uint8Array.of(PROTOCOL));
      expect(await ended).toEqual({ destroyed: DestroyReason.DESTROYED });
    }
  });
});

describe('a link that the peer opened', () => {
  test('is used only for an EXTEND2 that names its Ed25519 id, with low circuit ids', async () => {
    const peer = new EchoRelay();
    const inbound = await openAs(peer);
    peer.serve(inbound);
    const before = await relay.counters('links_dialled');
    const named = await TestCircuit.createFast(link);
    // Whatever port: the address is where the peer came from.
    await named.extend(peer.hop, { host: LOOPBACK, port: peer.port });
    await named.echo();
    expect(await relay.counters('links_dialled')).toEqual(before);
    expect(peer.creates.map(({ link: on }) => on === inbound)).toEqual([true]);
    expect(peer.creates[0]!.circId).toBeLessThan(0x80000000);

    const unnamed = await TestCircuit.createFast(link);
    await unnamed.extend(peer.hop, { host: LOOPBACK, port: peer.port }, { nameEd25519: false });
    await unnamed.echo();
    expect((await relay.counters('links_dialled')).links_dialled).toBe(before.links_dialled + 1);
    expect(peer.links.length).toBe(1);
    expect(peer.creates[1]!.circId).toBeGreaterThanOrEqual(0x80000000);
    inbound.close();
    peer.stop();
  });

  test('is not used when the peer did not say who it is', async () => {
    const peer = new EchoRelay();
    const inbound = dialTestLink({ port: relay.port(), credentials: peer.relay.credentials });
    await inbound.opened;
    peer.serve(inbound);
    const circuit = await TestCircuit.createFast(link);
    await circuit.extend(peer.hop, { host: LOOPBACK, port: peer.port });
    expect(peer.creates.map(({ link: on }) => on === peer.links[0])).toEqual([true]);
    inbound.close();
    peer.stop();
  });

  test('is superseded by a better one, and closed once it carries nothing', async () => {
    const peer = new EchoRelay();
    const first = await openAs(peer);
    peer.serve(first);
    const carried = await TestCircuit.createFast(link);
    await carried.extend(peer.hop, { host: LOOPBACK, port: peer.port });
    const before = await relay.counters('channel_superseded', 'channel_bad_closed');
    const second = await openAs(peer);
    peer.serve(second);
    await relay.counted('channel_superseded', before.channel_superseded + 1);
    // The older of two equals is the better one, and circuits live on whichever they were made on.
    await carried.echo();
    const fresh = await TestCircuit.createFast(link);
    await fresh.extend(peer.hop, { host: LOOPBACK, port: peer.port });
    expect(peer.creates.map(({ link: on }) => on === first)).toEqual([true, true]);
    await second.closed;
    expect((await relay.counters('channel_bad_closed')).channel_bad_closed).toBe(
      before.channel_bad_closed + 1,
    );
    await fresh.echo();
    first.close();
    peer.stop();
  }, 120_000);
});
