/** Joints over rings that are full, and messages for what is gone. */
import { describe, expect, test } from 'bun:test';
import { DestroyReason } from '../../src/cell/reason.ts';
import { RelayCommand } from '../../src/cell/relay-message.ts';
import { ConfluxRig, numbersOf, run } from './conflux-rig.ts';

describe('a full ring', () => {
  test('holds the reader back, and nothing is lost', () => {
    const rig = new ConfluxRig({}, 2, 3, 4);
    const client = rig.client();
    client.join(0);
    client.join(1);
    const home = rig.relay.workers[0]!;
    home.stalled = true;
    client.set.legs[0]!.port.room = () => 0;
    client.say(200);
    rig.settle();
    expect(rig.plane(1).ports[0]!.congested).toBe(true);
    const waiting = rig.plane(1).ports[0]!.jointCount;
    expect(waiting).toBeGreaterThan(0);
    // It was not all read.
    expect(waiting).toBeLessThan(60);
    home.stalled = false;
    rig.settle();
    expect(numbersOf(rig.set(0).came)).toEqual(run(200));
    expect(rig.plane(1).conflux.heldBytes).toBe(0);
  });

  test('makes a leg without room, and wakes its set', () => {
    const rig = new ConfluxRig({}, 2, 5, 4);
    const client = rig.client();
    client.join(0);
    client.join(1);
    rig.relay.workers[1]!.stalled = true;
    rig.download(0, 300);
    const { heldBytes } = rig.plane(0).conflux;
    // At most what did not fit when it was noticed.
    expect(heldBytes).toBeLessThan(40 * 700);
    rig.relay.workers[1]!.stalled = false;
    rig.settle();
    expect(numbersOf(client.came)).toEqual(run(300));
  });

  test('with more than may wait costs the leg', () => {
    const rig = new ConfluxRig({ circQueueCellsMaxOut: 10 }, 2, 7, 4);
    const client = rig.client();
    client.join(0);
    const far = client.join(1);
    rig.relay.workers[0]!.stalled = true;
    client.set.legs[0]!.port.room = () => 0;
    // As if nobody stopped reading: what is in one chunk is read in any case.
    far.circuit.peer.wire.other.pause = () => {};
    client.say(60);
    rig.settle();
    rig.relay.workers[0]!.stalled = false;
    rig.settle();
    expect(rig.count('joint_queue_full')).toBe(1);
    expect(far.destroyed).toBe(DestroyReason.RESOURCELIMIT);
    rig.expectNothing();
  });
});

test('a message for a set that is gone is dropped', () => {
  const rig = new ConfluxRig();
  const client = rig.client();
  client.join(0);
  const far = client.join(1);
  const home = rig.relay.workers[0]!;
  home.stalled = true;
  far.circuit.say(RelayCommand.DATA, 1, new Uint8Array(3));
  rig.settle();
  rig.set(0).home.set.close(DestroyReason.FINISHED);
  home.stalled = false;
  rig.settle();
  expect(rig.count('joint_messages')).toBe(1);
  expect(rig.count('joint_stale')).toBe(1);
  expect(far.destroyed).toBe(DestroyReason.FINISHED);
  rig.expectNothing();
});

test('what a home sends a leg that is gone is dropped', () => {
  const rig = new ConfluxRig();
  const client = rig.client();
  client.join(0);
  const far = client.join(1);
  rig.relay.workers[1]!.stalled = true;
  rig.set(0).home.set.legs[0]!.rttUs = 0;
  rig.download(0, 5);
  rig.closeAt(far, DestroyReason.INTERNAL);
  rig.relay.workers[1]!.stalled = false;
  rig.settle();
  expect(rig.count('joint_stale')).toBe(5);
  rig.expectNothing();
});
