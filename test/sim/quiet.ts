/**
 * When nothing goes on in a simulated world any more, so that whoever still waits waits for ever.
 *
 * Chunks that arrive and slots that are taken out of rings are movement: a full ring of few slots passes on for hundreds
 * of steps what has gathered before it, and nobody else hears of that. Bandwidth that a relay has used up beforehand is
 * not there again before the time that its debt is worth: nothing moves until then, and nobody is stuck.
 */
import { READ, WRITE } from '../../src/shm/bandwidth.ts';
import type { SimRelay } from './relay.ts';
import type { World } from './world.ts';

/** So many steps in which nothing moves are rest. */
const QUIET_STEPS = 300;

/** How long a relay's buckets take to come out of debt. */
function debtMs({ bandwidth }: SimRelay): number {
  const debt = -Math.min(0, bandwidth.level(READ), bandwidth.level(WRITE));
  return Math.ceil((debt * 1000) / bandwidth.rate);
}

export class Quiet {
  /** Steps without movement. */
  steps = 0;
  /** Of those, steps in which nothing was owed either. */
  private freeSteps = 0;
  private readonly world: World;
  private readonly relays: readonly SimRelay[];
  private readonly stepsMost: number;
  private moved = -1;
  private paidMs = 0;

  constructor(world: World, relays: readonly SimRelay[], stepsMost = QUIET_STEPS) {
    this.world = world;
    this.relays = relays;
    this.stepsMost = stepsMost;
  }

  /** Look once after each step: whether there is rest. */
  isReached(): boolean {
    const { world } = this;
    if (world.moved !== this.moved) {
      this.moved = world.moved;
      this.steps = 0;
      this.freeSteps = 0;
      this.paidMs = world.nowMs + Math.max(...this.relays.map(debtMs));
    }
    this.steps++;
    if (world.nowMs >= this.paidMs) this.freeSteps++;
    return this.freeSteps > this.stepsMost;
  }
}
