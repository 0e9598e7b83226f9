/**
 * Random conflux sets through an exit of ours, by seed. What is looked at, and when, says `conflux-scenario`.
 *
 * `SIM_SEEDS=n` plays so many, `SIM_SEED=n` that one alone.
 */
import { expect, test } from 'bun:test';
import { ConfluxScenario } from './conflux-scenario.ts';

const SEEDS_CI = 300;
const SEEDS_ELSEWHERE = 40;
const NO_TIMEOUT_MS = 24 * 3600 * 1000;
const chosen = process.env['SIM_SEED'];
const isCi = (process.env['CI'] ?? '') !== '';
const count = Number(process.env['SIM_SEEDS'] ?? (isCi ? SEEDS_CI : SEEDS_ELSEWHERE));

test.skipIf(chosen !== undefined)(
  `${count} seeds of conflux sets`,
  () => {
    let remote = 0;
    let reordered = 0;
    for (let seed = 1; seed <= count; seed++) {
      const scenario = new ConfluxScenario(seed);
      scenario.run();
      remote += scenario.relay.count('conflux_legs_remote');
      reordered += scenario.relay.count('conflux_reordered');
    }
    expect(remote).toBeGreaterThan(count / 4);
    expect(reordered).toBeGreaterThan(count / 4);
  },
  NO_TIMEOUT_MS,
);

if (chosen !== undefined) {
  test(`conflux sets of seed ${chosen}`, () => new ConfluxScenario(Number(chosen)).run(), NO_TIMEOUT_MS);
}

test(
  'a seed plays the same each time',
  () => {
    for (let seed = 1; seed <= 3; seed++) {
      const [one, other] = [new ConfluxScenario(seed), new ConfluxScenario(seed)];
      one.run();
      other.run();
      expect(other.told).toEqual(one.told);
    }
  },
  NO_TIMEOUT_MS,
);
