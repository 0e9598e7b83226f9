/** Circuits that become legs, and those that may not. */
import { describe, expect, test } from 'bun:test';
import { encodeConfluxSwitch } from '../../src/cell/conflux.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { NEXT } from '../../src/circuit/circuit-table.ts';
import type { CounterName } from '../../src/shm/scoreboard.ts';
import { type ClientLeg, ConfluxRig, numbersOf, run } from './conflux-rig.ts';

const NOTHING = new Uint8Array(0);

describe('a LINK is refused', () => {
  /** What a LINK is refused for, and the circuit with it. */
  function refused(rig: ConfluxRig, leg: ClientLeg, counter: CounterName): void {
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(leg.linked).toBeNull();
    expect(rig.count(counter)).toBe(1);
  }

  test('while conflux is off', () => {
    const rig = new ConfluxRig({ confluxEnabled: false });
    const leg = rig.client().open(0);
    leg.link();
    refused(rig, leg, 'conflux_off_refused');
    rig.expectNothing();
  });

  test('without congestion control', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().open(0);
    rig.plane(0).table.ccSendmeInc.fill(0);
    leg.link();
    refused(rig, leg, 'conflux_uncontrolled_refused');
  });

  test('on a circuit with further hops', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().open(0);
    const { table } = rig.plane(0);
    const row = table.ccSendmeInc.indexOf(31);
    // As a leg to another worker that is not ready yet.
    table.port[row * 2 + NEXT] = -3;
    leg.link();
    refused(rig, leg, 'conflux_further_hops_refused');
  });

  test('twice', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().join(0);
    leg.link();
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('conflux_twice_refused')).toBe(1);
    rig.expectNothing();
  });

  test('twice while the first still waits', () => {
    const rig = new ConfluxRig();
    const leg = rig.client(1).open(0);
    rig.relay.workers[1]!.stalled = true;
    leg.link();
    leg.link();
    refused(rig, leg, 'conflux_twice_refused');
    rig.relay.workers[1]!.stalled = false;
    rig.settle();
    rig.expectNothing();
  });

  test('on a circuit with streams', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().open(0);
    rig.edges[0]!.withStreams.add(rig.plane(0).table.ccSendmeInc.indexOf(31));
    leg.link();
    refused(rig, leg, 'conflux_streams_refused');
  });

  test('of another version, too short, or with an unknown wish', () => {
    const link = Uint8Array.from([1, ...new Array(49).fill(0)]);
    for (const bad of [link.with(0, 0), link.with(0, 2), link.slice(0, 49), link.with(49, 5), NOTHING]) {
      const rig = new ConfluxRig();
      const leg = rig.client().open(0);
      leg.circuit.say(RelayCommand.CONFLUX_LINK, 0, bad);
      refused(rig, leg, 'conflux_link_malformed');
    }
  });

  test.each([0, 1])('past the most legs of a set, on worker %d', (worker) => {
    const rig = new ConfluxRig({ confluxLegsMax: 3 });
    const client = rig.client();
    for (let i = 0; i < 3; i++) client.join(i % 2);
    const leg = client.open(worker);
    leg.link();
    refused(rig, leg, 'conflux_too_many_legs');
    // The others live.
    client.say(10);
    rig.settle();
    expect(numbersOf(rig.set(0).came)).toEqual(run(10));
  });

  test.each([0, 1])('when data was lost, and the set with it, on worker %d', (worker) => {
    const rig = new ConfluxRig();
    const client = rig.client();
    const first = client.join(0);
    const leg = client.open(worker);
    leg.link({ lastSeqSent: 1n });
    refused(rig, leg, 'conflux_data_loss');
    expect(first.destroyed).toBe(DestroyReason.PROTOCOL);
    rig.expectNothing();
  });

  test('when it has got what was never sent', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const leg = client.open(1);
    leg.link({ lastSeqRecv: 2n ** 63n });
    refused(rig, leg, 'conflux_bad_sequence');
  });

  test('while its registry is dead', () => {
    const rig = new ConfluxRig();
    const leg = rig.client(1).open(0);
    rig.relay.kill(1);
    rig.settle();
    leg.link();
    refused(rig, leg, 'conflux_registry_away');
  });

  test('never for a nonce that differs in its last byte only: that is another set', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.join(0);
    const leg = client.open(0);
    leg.link({ nonce: client.nonce.with(31, client.nonce[31]! ^ 1) });
    rig.settle();
    expect(leg.linked!.nonce[31]).not.toBe(client.nonce[31]);
    expect(rig.count('conflux_sets')).toBe(2);
  });
});

describe('what closes a circuit', () => {
  test.each([
    ['LINKED', RelayCommand.CONFLUX_LINKED, NOTHING, 'conflux_unexpected_linked'],
    ['LINKED_ACK', RelayCommand.CONFLUX_LINKED_ACK, NOTHING, 'conflux_unexpected_linked_ack'],
    ['SWITCH', RelayCommand.CONFLUX_SWITCH, encodeConfluxSwitch(1), 'conflux_unexpected_switch'],
  ] as const)('%s on a circuit that is no leg', (_name, command, data, counter) => {
    const rig = new ConfluxRig();
    const leg = rig.client().open(0);
    leg.circuit.say(command, 0, data);
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count(counter)).toBe(1);
  });

  test('LINKED on a leg', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().join(0);
    leg.circuit.say(RelayCommand.CONFLUX_LINKED, 0, NOTHING);
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('conflux_unexpected_linked')).toBe(1);
    rig.expectNothing();
  });

  test('a message of a stream before LINKED', () => {
    const rig = new ConfluxRig();
    const leg = rig.client(1).open(0);
    rig.relay.workers[1]!.stalled = true;
    leg.link();
    leg.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
    expect(rig.count('conflux_early_message')).toBe(1);
  });

  test('a message of a stream on a leg with further hops', () => {
    const rig = new ConfluxRig();
    const leg = rig.client().join(0);
    const { table } = rig.plane(0);
    table.port[table.ccSendmeInc.indexOf(31) * 2 + NEXT] = -3;
    leg.circuit.say(RelayCommand.DATA, 1, NOTHING);
    rig.settle();
    expect(rig.count('conflux_further_hops_refused')).toBe(1);
    expect(leg.destroyed).toBe(DestroyReason.PROTOCOL);
  });
});

describe('round-trip times', () => {
  test('are those of LINKED to LINKED_ACK, and nothing is sent by choice before', () => {
    const rig = new ConfluxRig();
    const client = rig.client();
    client.acks = false;
    const legs = [client.join(0), client.join(1)];
    rig.download(0, 10);
    expect(client.came).toEqual([]);
    rig.world.pass(200);
    legs[1]!.ack();
    rig.settle();
    const [near, far] = rig.set(0).home.set.legs;
    expect(near!.rttUs).toBe(0);
    expect(far!.rttUs).toBeGreaterThanOrEqual(190_000);
    expect(far!.rttUs).toBeLessThan(400_000);
    expect(numbersOf(client.came)).toEqual(run(10));
    expect(legs[1]!.leg!.lastSeqRecv).toBe(10);
  });
});
