/** The simulator takes for rest only what is rest: not what a small ring still passes on, nor a debt that is being paid. */
import { expect, test } from 'bun:test';
import { READ } from '../../src/shm/bandwidth.ts';
import { SlotKind } from '../../src/shm/ring.ts';
import { Quiet } from './quiet.ts';
import { SimRelay } from './relay.ts';
import { World } from './world.ts';

const HOST = Uint8Array.of(198, 51, 100, 1);
const NOTHING = new Uint8Array(0);

/** Step until the simulator takes it for rest. */
function rest(world: World, relay: SimRelay): void {
  const quiet = new Quiet(world, [relay], 20);
  do {
    world.nowMs += 1;
    world.step();
  } while (!quiet.isReached());
}

test('what waits for a ring of few slots is passed on before there is rest', () => {
  const world = new World(1);
  const relay = new SimRelay(world, { host: HOST, workers: 2, ringSlots: 4 });
  const port = relay.workers[0]!.data.plane.ports[1]!;
  rest(world, relay);
  const sender = { waitingJoints: 0 };
  for (let i = 0; i < 400; i++) port.putJoint(SlotKind.JOINT_CLOSE, i, 0, 0, 0, 0, NOTHING, 0, 0, sender);
  expect(sender.waitingJoints).toBeGreaterThan(390);
  relay.workers[0]!.wake();
  rest(world, relay);
  expect(sender.waitingJoints).toBe(0);
});

test('bandwidth that is owed comes back before there is rest', () => {
  const world = new World(1);
  const limits = { bandwidthRate: 10_000, bandwidthBurst: 10_000 };
  const relay = new SimRelay(world, { host: HOST, options: limits });
  relay.bandwidth.spend(READ, 30_000);
  const before = world.nowMs;
  rest(world, relay);
  expect(world.nowMs - before).toBeGreaterThan(2000);
  expect(relay.bandwidth.level(READ)).toBeGreaterThan(-100);
});
