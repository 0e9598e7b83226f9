/**
 * Random streams through an exit of ours, by seed. What is looked at, and when, says `stream-scenario`.
 *
 * `SIM_SEEDS=n` plays so many, `SIM_SEED=n` that one alone.
 */
import { expect, test } from 'bun:test';
import { StreamScenario } from './stream-scenario.ts';

const SEEDS_CI = 1000;
const SEEDS_ELSEWHERE = 60;
const NO_TIMEOUT_MS = 24 * 3600 * 1000;
const chosen = process.env['SIM_SEED'];
const isCi = (process.env['CI'] ?? '') !== '';
const count = Number(process.env['SIM_SEEDS'] ?? (isCi ? SEEDS_CI : SEEDS_ELSEWHERE));

test.skipIf(chosen !== undefined)(
  `${count} seeds of streams`,
  () => {
    for (let seed = 1; seed <= count; seed++) new StreamScenario(seed).run();
  },
  NO_TIMEOUT_MS,
);

if (chosen !== undefined) {
  test(`streams of seed ${chosen}`, () => new StreamScenario(Number(chosen)).run(), NO_TIMEOUT_MS);
}

test(
  'a seed plays the same each time',
  () => {
    for (let seed = 1; seed <= 3; seed++) {
      const [one, other] = [new StreamScenario(seed), new StreamScenario(seed)];
      one.run();
      other.run();
      expect(other.told).toEqual(one.told);
    }
  },
  NO_TIMEOUT_MS,
);
