/** Sets whose legs and whose registry are on one worker or on several, and workers that die. */
import { describe, expect, test } from 'bun:test';
import { Command } from '../../src/cell/command.ts';
import { DestroyReason } from '../../src/cell/reason.ts';
import { type ClientLeg, type ConfluxClient, ConfluxRig, numbersOf, run } from './conflux-rig.ts';

/** Places of two legs and of their nonce's registry. */
const PLACES = [
  ['one worker, registry there', 0, 0, 0],
  ['one worker, registry elsewhere', 0, 0, 1],
  ['two workers, registry with the first', 0, 1, 0],
  ['two workers, registry with the second', 0, 1, 1],
  ['two workers, registry with neither', 0, 1, 2],
] as const;

describe.each(PLACES)('two legs on %s', (_name, first, second, registry) => {
  function make(): [ConfluxRig, ConfluxClient, ClientLeg[]] {
    const rig = new ConfluxRig({}, 3);
    const client = rig.client(registry);
    const legs = [client.join(first), client.join(second)];
    return [rig, client, legs];
  }

  test('join one set at the first', () => {
    const [rig, , legs] = make();
    for (const { linked } of legs) expect([linked!.lastSeqSent, linked!.lastSeqRecv]).toEqual([0n, 0n]);
    expect(rig.count('conflux_sets')).toBe(1);
    expect(rig.count('conflux_legs_linked')).toBe(2);
    expect(rig.count('conflux_legs_remote')).toBe(second === first ? 0 : 1);
    expect(rig.set(first).home.set.legs.map(({ rttUs }) => rttUs > 0)).toEqual([true, true]);
    expect(rig.plane(registry).conflux.registry.size).toBe(1);
  });

  test('carry what the client sends, in order', () => {
    const [rig, client, legs] = make();
    for (let i = 0; i < 40; i++) {
      legs[0]!.free = i % 3 === 0 ? 0 : 1;
      client.say(1);
    }
    rig.settle();
    expect(numbersOf(rig.set(first).came)).toEqual(run(40));
    expect(rig.count('conflux_switches_received')).toBeGreaterThan(10);
  });

  test('carry what the exit sends, over both, in order', () => {
    const [rig, client] = make();
    rig.download(first, 500);
    expect(numbersOf(client.came)).toEqual(run(500));
    expect(client.set.legs.every(({ lastSeqRecv }) => lastSeqRecv > 0)).toBe(true);
    expect(rig.set(first).home.set.switches).toBeGreaterThan(0);
  });

  test('stop at their windows and go on with SENDMEs', () => {
    const [rig, client, legs] = make();
    const hear = legs.map((leg) => leg.circuit.peer.onCell!);
    const held: (() => void)[] = [];
    for (const [i, leg] of legs.entries()) {
      leg.circuit.peer.onCell = (cell) => held.push(() => hear[i]!(cell));
    }
    rig.download(first, 400);
    // 60 on each leg, and one SWITCH.
    expect(held.length).toBe(121);
    for (const leg of legs.keys()) legs[leg]!.circuit.peer.onCell = hear[leg]!;
    for (const one of held) one();
    rig.settle();
    expect(numbersOf(client.came)).toEqual(run(400));
  });

  test('end with the one that sends', () => {
    const [rig, , legs] = make();
    rig.download(first, 100);
    const used = legs[0]!.leg!.lastSeqRecv > legs[1]!.leg!.lastSeqRecv ? 0 : 1;
    legs[used]!.circuit.peer.send(legs[used]!.circuit.circId, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    expect(legs[1 - used]!.destroyed).toBe(DestroyReason.FINISHED);
    expect(rig.count('conflux_sets_torn')).toBe(1);
    expect(rig.edges[first]!.closedSets.length).toBe(1);
    rig.expectNothing();
  });

  test('do without one that was not in use', () => {
    const [rig, client, legs] = make();
    legs[1]!.circuit.peer.send(legs[1]!.circuit.circId, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    client.set.leave(legs[1]!.leg!, false);
    rig.download(first, 100);
    client.say(20);
    rig.settle();
    expect(numbersOf(client.came)).toEqual(run(100));
    expect(numbersOf(rig.set(first).came)).toEqual(run(20));
    legs[0]!.circuit.peer.send(legs[0]!.circuit.circId, Command.DESTROY, Uint8Array.of(0));
    rig.settle();
    rig.expectNothing();
    expect(rig.count('conflux_sets_torn')).toBe(0);
    expect(rig.count('conflux_switches_sent')).toBe(0);
  });

  test('leave nothing behind with their links', () => {
    const [rig, , legs] = make();
    rig.download(first, 30);
    for (const leg of legs) leg.circuit.peer.wire.reset();
    rig.settle();
    rig.expectNothing();
  });

  test('let another nonce alone', () => {
    const [rig, client] = make();
    const [own] = [...rig.edges[first]!.sets.values()];
    const other = rig.client(registry);
    other.join(2);
    other.say(5);
    client.say(3);
    rig.settle();
    expect(rig.count('conflux_sets')).toBe(2);
    expect(numbersOf(rig.set(2).came)).toEqual(run(5));
    expect(numbersOf(own!.came)).toEqual(run(3));
  });
});

describe('a worker that dies', () => {
  test('takes sets along of which it has a leg, and those only', () => {
    const rig = new ConfluxRig({}, 3);
    const hurt = rig.client(2);
    const whole = rig.client(2);
    const first = hurt.join(0);
    hurt.join(1);
    whole.join(0);
    whole.join(0);
    rig.relay.kill(1);
    rig.settle();
    expect(first.destroyed).toBe(DestroyReason.FINISHED);
    whole.say(5);
    rig.settle();
    expect(numbersOf(rig.set(0).came)).toEqual(run(5));
    expect(rig.count('leg_worker_died')).toBe(1);
  });

  test('takes legs along whose home it was', () => {
    const rig = new ConfluxRig({}, 3);
    const client = rig.client(2);
    client.join(1);
    const far = client.join(0);
    rig.relay.kill(1);
    rig.settle();
    expect(far.destroyed).toBe(DestroyReason.CHANNEL_CLOSED);
    expect(rig.count('conflux_home_died')).toBe(1);
    rig.expectNothing();
  });

  test('takes legs along that wait for an answer', () => {
    const rig = new ConfluxRig({}, 3);
    const leg = rig.client(2).open(0);
    rig.relay.workers[2]!.stalled = true;
    leg.link();
    rig.settle();
    rig.relay.kill(2);
    rig.settle();
    expect(leg.destroyed).toBe(DestroyReason.CHANNEL_CLOSED);
    rig.expectNothing();
  });

  test('was the registry: its successor knows the sets that live', () => {
    const rig = new ConfluxRig({}, 3);
    const client = rig.client(2);
    client.join(0);
    client.join(1);
    rig.relay.kill(2);
    rig.relay.replace(2);
    rig.settle();
    rig.edges[2] = rig.edgeOf(rig.relay.workers[2]!);
    expect(rig.plane(2).conflux.registry.size).toBe(1);
    const third = client.join(2);
    expect(third.linked).not.toBeNull();
    expect(rig.count('conflux_sets')).toBe(1);
    expect(rig.set(0).home.set.legs.length).toBe(3);
    for (const leg of client.legs) leg.circuit.peer.wire.reset();
    rig.settle();
    rig.expectNothing();
  });
});
