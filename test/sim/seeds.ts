/**
 * Plays random networks one after the other, as a process of its own: `bun test/sim/seeds.ts <first> <count> <step>`
 * plays seeds first, first + step, ... Ends at the first that fails, and tells how to play it again; and when whoever
 * started it is gone.
 */
import { Scenario } from './scenario.ts';

const [first = 1, count = 1, step = 1] = Bun.argv.slice(2).map(Number);
const starter = process.ppid;
for (let seed = first, i = 0; i < count && process.ppid === starter; seed += step, i++) {
  try {
    new Scenario(seed).run();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}`);
    console.error(`Play it again: SIM_SEED=${seed} node_modules/.bin/bun test test/sim/sim.test.ts`);
    process.exit(1);
  }
}
