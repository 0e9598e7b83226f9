/** EXTEND2 and TRUNCATE: every refusal with its reason and counter, and the ways to the next hop. */
import { describe, expect, test } from 'bun:test';
import { BODY_AT } from '../../src/cell/cell.ts';
import { Command } from '../../src/cell/command.ts';
import { type LinkSpecifier, LinkSpecifierType, specifiersOf } from '../../src/cell/extend.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { RelayIndex } from '../../src/shm/relay-index.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { ClientCircuit, specifiersTo } from '../sim/client.ts';
import { Peer } from '../sim/peer.ts';
import { Terminal } from '../sim/terminal.ts';
import { filled, ID, NEXT_HOST, Rig, type RigOptions } from './rig.ts';

const V6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
const HOLE_PORT = 1;

/** Extend with these specifiers; the circuit must die for this reason with this counter. */
function expectRefused(
  specifiers: (rig: Rig) => LinkSpecifier[],
  reason: number,
  counter: CounterName,
  options: RigOptions = {},
): void {
  const rig = new Rig(options);
  const circuit = rig.open();
  circuit.extend(rig.next.hop, { specifiers: specifiers(rig) });
  rig.settle();
  rig.expectDestroyed(reason);
  expect(rig.count(counter)).toBe(1);
  expect(rig.count('links_dialled')).toBe(0);
  rig.expectEmpty();
}

const of = (type: number, length: number): LinkSpecifier => ({ type, body: filled(length, 7) });
const endpoint = (host: Uint8Array, port: number) => ({ host, port });

describe('EXTEND2', () => {
  test('dials, and the circuit passes cells both ways', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.count('extend_received')).toBe(1);
    expect(rig.count('extend_succeeded')).toBe(1);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('uses the open channel again', () => {
    const rig = new Rig();
    rig.openTwo();
    const second = rig.openTwo(ID + 1);
    rig.expectPasses(second, rig.next.last);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('to an identity that an open channel proves wrong is refused without a dial', () => {
    const rig = new Rig();
    rig.openTwo();
    const circuit = rig.open(ID + 1);
    const { rsaId } = rig.next.hop;
    const specifiers = specifiersOf({
      rsaId,
      ed25519Id: filled(32, 3),
      ipv4: endpoint(NEXT_HOST, 9001),
      ipv6: null,
    });
    circuit.extend(rig.next.hop, { specifiers });
    rig.settle();
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED, ID + 1);
    expect(rig.count('extend_identity_mismatch_refused')).toBe(1);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('waits for a dial in progress to the same address', () => {
    const rig = new Rig();
    const circuits = [rig.open(ID), rig.open(ID + 1), rig.open(ID + 2)];
    for (const circuit of circuits) circuit.extend(rig.next.hop);
    rig.settle();
    expect(rig.client.cells.length).toBe(3);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('passes an unknown handshake type and unknown specifiers on', () => {
    const rig = new Rig();
    rig.next.holdCreates = true;
    const circuit = rig.open();
    const specifiers = [...specifiersTo(rig.next.hop), of(99, 5)];
    const writer = [specifiers.length];
    for (const { type, body } of specifiers) writer.push(type, body.length, ...body);
    circuit.say(RelayCommand.EXTEND2, 0, Uint8Array.from([...writer, 0x12, 0x34, 0, 3, 1, 2, 3]), {
      command: Command.RELAY_EARLY,
    });
    rig.settle();
    expect(rig.next.held[0]!.cell.bytes.slice(BODY_AT, BODY_AT + 7)).toEqual(
      Uint8Array.of(0x12, 0x34, 0, 3, 1, 2, 3),
    );
  });

  test('our circuit ids on a link that we dialled have the top bit', () => {
    const rig = new Rig();
    rig.openTwo();
    expect(rig.next.last.circId).toBeGreaterThanOrEqual(0x80000000);
  });

  test('an authenticated inbound link is used when its Ed25519 id is named, with low ids', () => {
    const rig = new Rig();
    const inbound = Peer.connect(rig.world, rig.relay, {
      worker: 0,
      identity: rig.next.hop,
      from: endpoint(NEXT_HOST, 55_555),
    });
    rig.settle();
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    const create = inbound.take();
    expect(create.command).toBe(Command.CREATE2);
    expect(create.circId).toBeLessThan(0x80000000);
    expect(create.circId).toBeGreaterThan(0);
    expect(rig.count('links_dialled')).toBe(0);
    const second = rig.open(ID + 1);
    second.extend(rig.next.hop, {
      specifiers: specifiersTo(rig.next.hop).filter(({ type }) => type !== LinkSpecifierType.ED25519_ID),
    });
    rig.settle();
    expect(inbound.cells).toEqual([]);
    expect(rig.count('links_dialled')).toBe(1);
  });

  test('a peer that fills the rows of its RSA identity is dialled, and carries its circuit', () => {
    const rig = new Rig();
    for (let i = 0; i < 256; i++) {
      rig.plane.roster.insert({
        rsaId: rig.next.hop.rsaId,
        ed25519Id: filled(32, i),
        address: filled(4, i),
        port: 1,
        slot: -1,
        generation: -1,
        state: 'dialling',
        inbound: false,
        canonical: false,
        createdMs: 0,
      });
    }
    const circuit = rig.openTwo();
    rig.expectPasses(circuit, rig.next.last);
    expect(rig.count('roster_identity_full')).toBe(1);
    expect(rig.relay.roster.count()).toEqual({ dialling: 256, open: 0, bad: 0 });
  });

  test('without the Ed25519 id, or with a zero one, works', () => {
    for (const ed25519Id of [null, filled(32, 0)]) {
      const rig = new Rig();
      const circuit = rig.open();
      const { rsaId, host, port } = rig.next.hop;
      circuit.extend(rig.next.hop, {
        specifiers: specifiersOf({ rsaId, ed25519Id, ipv4: endpoint(host, port), ipv6: null }),
      });
      rig.settle();
      rig.extended(circuit);
    }
  });

  test('of two IPv4 addresses the first is dialled', () => {
    const rig = new Rig();
    const circuit = rig.open();
    const { rsaId, ed25519Id } = rig.next.hop;
    const elsewhere = specifiersOf({
      rsaId: null,
      ed25519Id: null,
      ipv4: endpoint(Uint8Array.of(203, 0, 113, 99), 9001),
      ipv6: null,
    });
    const specifiers = specifiersOf({ rsaId, ed25519Id, ipv4: endpoint(NEXT_HOST, 9001), ipv6: null });
    circuit.extend(rig.next.hop, { specifiers: [...specifiers, ...elsewhere] });
    rig.settle();
    rig.extended(circuit);
  });

  test('IPv6 is dialled when we have it', () => {
    const rig = new Rig({ options: { ipv6Extends: true } });
    const next = new Terminal(rig.world, V6);
    const circuit = rig.open();
    circuit.extend(next.hop);
    rig.settle();
    rig.extended(circuit);
    expect(rig.count('links_dialled_ipv6')).toBe(1);
  });

  test('with both families both are dialled now and then', () => {
    const dialled = new Set<number>();
    for (let i = 0; i < 12; i++) {
      const rig = new Rig({ options: { ipv6Extends: true } });
      for (let skip = 0; skip < i; skip++) rig.plane.random.u32();
      const circuit = rig.open();
      const { rsaId, ed25519Id } = rig.next.hop;
      const ipv4 = endpoint(NEXT_HOST, HOLE_PORT);
      circuit.extend(rig.next.hop, {
        specifiers: specifiersOf({ rsaId, ed25519Id, ipv4, ipv6: endpoint(V6, HOLE_PORT) }),
      });
      rig.settle();
      dialled.add(rig.count('links_dialled_ipv6'));
    }
    expect([...dialled].sort()).toEqual([0, 1]);
  });

  test('an address that is left out is filled in from the consensus, and the dial is shared', () => {
    const rig = new Rig();
    const { rsaId, ed25519Id } = rig.next.hop;
    rig.plane.relayIndex = new RelayIndex(
      RelayIndex.create([{ rsaId, ipv4: endpoint(NEXT_HOST, 9001), ipv6: null }]),
    );
    const circuits = [rig.open(ID), rig.open(ID + 1)];
    const specifiers = specifiersOf({ rsaId, ed25519Id, ipv4: null, ipv6: null });
    for (const circuit of circuits) circuit.extend(rig.next.hop, { specifiers });
    rig.settle();
    expect(rig.client.cells.length).toBe(2);
    expect(rig.count('links_dialled')).toBe(1);
  });
});

describe('an Ed25519 identity that is left out', () => {
  /** Open a channel to the next hop, then extend to it again without its Ed25519 identity. */
  function extendAgain(known: (ed25519Id: Uint8Array) => Uint8Array | null) {
    const rig = new Rig();
    rig.openTwo();
    const { rsaId, ed25519Id } = rig.next.hop;
    const ipv4 = endpoint(NEXT_HOST, 9001);
    const relay = { rsaId, ipv4, ipv6: null, ed25519Id: known(ed25519Id) };
    rig.plane.relayIndex = new RelayIndex(RelayIndex.create([relay]));
    const circuit = rig.open(ID + 1);
    circuit.extend(rig.next.hop, { specifiers: specifiersOf({ rsaId, ed25519Id: null, ipv4, ipv6: null }) });
    rig.settle();
    return { rig, circuit };
  }

  test('is filled in from the consensus', () => {
    for (const known of [(id: Uint8Array) => id, () => null]) {
      const { rig, circuit } = extendAgain(known);
      rig.extended(circuit);
      expect(rig.count('links_dialled')).toBe(1);
    }
  });

  test('and then checked', () => {
    const { rig } = extendAgain(() => filled(32, 3));
    rig.expectDestroyed(DestroyReason.CHANNEL_CLOSED, ID + 1);
    expect(rig.count('extend_identity_mismatch_refused')).toBe(1);
  });
});

describe('EXTEND2 is dropped silently', () => {
  test('in a plain RELAY', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.extend(rig.next.hop, { command: Command.RELAY });
    rig.settle();
    expect(rig.count('extend_not_in_relay_early')).toBe(1);
    rig.expectAlive(circuit);
  });

  test('but not if the consensus allows that', () => {
    const rig = new Rig({ options: { allowNonearlyExtend: true } });
    const circuit = rig.open();
    circuit.extend(rig.next.hop, { command: Command.RELAY });
    rig.settle();
    rig.extended(circuit);
  });

  test('with a stream id', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.say(RelayCommand.EXTEND2, 3, filled(200, 0), { command: Command.RELAY_EARLY });
    rig.settle();
    expect(rig.count('extend_nonzero_stream')).toBe(1);
    rig.expectAlive(circuit);
  });
});

describe('EXTEND2 is refused', () => {
  test('twice: both hops are told', () => {
    const rig = new Rig();
    const circuit = rig.openTwo();
    const data = specifiersTo(rig.next.hop);
    // For our hop, though there is one behind us.
    circuit.layers.pop();
    circuit.extend(rig.next.hop, { specifiers: data });
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.next.last.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('extend_second_refused')).toBe(1);
    rig.expectEmpty();
  });

  test('twice, while the first waits for its dial', () => {
    const rig = new Rig();
    const circuit = rig.open();
    circuit.extend({ ...rig.next.hop, port: HOLE_PORT });
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.PROTOCOL);
    expect(rig.count('extend_second_refused')).toBe(1);
    rig.expectEmpty();
  });

  test('to ourselves, by either identity', () => {
    const self = (pick: (rig: Rig) => { rsaId: Uint8Array; ed25519Id: Uint8Array | null }) => (rig: Rig) =>
      specifiersOf({ ...pick(rig), ipv4: endpoint(NEXT_HOST, 9001), ipv6: null });
    const counter = 'extend_self_refused';
    expectRefused(
      self((rig) => ({ rsaId: rig.own.rsaId, ed25519Id: null })),
      DestroyReason.CONNECTFAILED,
      counter,
    );
    expectRefused(
      self((rig) => ({ rsaId: rig.next.hop.rsaId, ed25519Id: rig.own.ed25519Id })),
      DestroyReason.CONNECTFAILED,
      counter,
    );
  });

  test('to the previous hop, by either identity', () => {
    for (const bent of [{ ed25519Id: filled(32, 3) }, { rsaId: filled(20, 3) }]) {
      const rig = new Rig();
      const back = new Terminal(rig.world, Uint8Array.of(198, 51, 100, 3));
      const link = Peer.connect(rig.world, rig.relay, { worker: 0, identity: back.hop });
      rig.settle();
      const circuit = new ClientCircuit(link, ID);
      circuit.createFast();
      rig.settle();
      circuit.createdFast(link.expect(Command.CREATED_FAST));
      circuit.extend({ ...back.hop, ...bent });
      rig.settle();
      expect(link.expect(Command.DESTROY)[0]).toBe(DestroyReason.PROTOCOL);
      expect(rig.count('extend_previous_hop_refused')).toBe(1);
    }
  });

  const named =
    (bent: { rsaId?: Uint8Array | null }, host: Uint8Array, port = 9001) =>
    (rig: Rig) => {
      const { rsaId, ed25519Id } = rig.next.hop;
      const here = endpoint(host, port);
      const [ipv4, ipv6] = host.length === 4 ? [here, null] : [null, here];
      return specifiersOf({ rsaId, ed25519Id, ipv4, ipv6, ...bent });
    };

  test('without an RSA id, or with a zero one', () => {
    expectRefused(named({ rsaId: null }, NEXT_HOST), DestroyReason.PROTOCOL, 'extend_no_rsa_id');
    expectRefused(
      named({ rsaId: filled(20, 0) }, NEXT_HOST),
      DestroyReason.PROTOCOL,
      'extend_zero_id_refused',
    );
  });

  test('to private addresses, unless they are allowed', () => {
    const counter = 'extend_private_address_refused';
    for (const host of [
      [127, 0, 0, 1],
      [10, 1, 2, 3],
      [192, 168, 0, 1],
      [169, 254, 1, 1],
      [0, 0, 0, 0],
    ]) {
      expectRefused(named({}, Uint8Array.from(host)), DestroyReason.PROTOCOL, counter);
    }
    const ula = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    expectRefused(named({}, ula), DestroyReason.PROTOCOL, counter, { options: { ipv6Extends: true } });
    const rig = new Rig({ options: { extendAllowPrivateAddresses: true } });
    const next = new Terminal(rig.world, Uint8Array.of(127, 0, 0, 9));
    const circuit = rig.open();
    circuit.extend(next.hop);
    rig.settle();
    rig.extended(circuit);
  });

  test('to port 0', () => {
    expectRefused(named({}, NEXT_HOST, 0), DestroyReason.PROTOCOL, 'extend_zero_port_refused');
  });

  test('with no address at all', () => {
    const none = (rig: Rig) => specifiersOf({ ...rig.next.hop, ipv4: null, ipv6: null });
    expectRefused(none, DestroyReason.PROTOCOL, 'extend_no_address_refused');
  });

  test('with IPv6 alone, where we have none', () => {
    expectRefused(named({}, V6), DestroyReason.CONNECTFAILED, 'extend_ipv6_unavailable');
  });

  test('with known specifiers of wrong lengths, or an identity twice', () => {
    const { IPV4, IPV6, RSA_ID, ED25519_ID } = LinkSpecifierType;
    const lists: ((rig: Rig) => LinkSpecifier[])[] = [];
    for (const [type, length] of [
      [IPV4, 5],
      [IPV4, 7],
      [IPV6, 17],
      [IPV6, 19],
      [RSA_ID, 19],
      [RSA_ID, 21],
      [ED25519_ID, 31],
      [ED25519_ID, 33],
      [RSA_ID, 20],
      [ED25519_ID, 32],
    ] as const) {
      lists.push((rig) => [...specifiersTo(rig.next.hop), of(type, length)]);
    }
    for (const list of lists) expectRefused(list, DestroyReason.PROTOCOL, 'extend_malformed');
  });

  test('cut short anywhere', () => {
    const whole = (rig: Rig) => {
      const specifiers = specifiersTo(rig.next.hop);
      const bytes = [specifiers.length];
      for (const { type, body } of specifiers) bytes.push(type, body.length, ...body);
      return Uint8Array.from([...bytes, 0, 2, 0, 84, ...filled(84, 1)]);
    };
    for (const length of [0, 1, 2, 3, 8, 9, 60, 100]) {
      const rig = new Rig();
      const circuit = rig.open();
      circuit.say(RelayCommand.EXTEND2, 0, whole(rig).subarray(0, length), { command: Command.RELAY_EARLY });
      rig.settle();
      rig.expectDestroyed(DestroyReason.PROTOCOL);
      expect(rig.count('extend_malformed')).toBe(1);
    }
  });

  test('when the roster is full', () => {
    const rig = new Rig();
    const row = {
      ed25519Id: null,
      address: NEXT_HOST,
      port: 1,
      slot: 0,
      generation: 0,
      state: 'open',
      inbound: false,
      canonical: true,
      createdMs: 0,
    } as const;
    while (rig.plane.roster.insert({ ...row, rsaId: rig.world.prng.bytes(20) }) >= 0);
    const circuit = rig.open();
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.RESOURCELIMIT);
    expect(rig.count('roster_full')).toBe(1);
  });

  test('when no circuit id can be had', () => {
    const rig = new Rig();
    rig.openTwo();
    const circuit = rig.open(ID + 1);
    Object.defineProperty(rig.plane.random, 'u32', { value: () => 0x80000000 });
    circuit.extend(rig.next.hop);
    rig.settle();
    rig.expectDestroyed(DestroyReason.RESOURCELIMIT, ID + 1);
    expect(rig.count('extend_no_circuit_id')).toBe(1);
  });
});
