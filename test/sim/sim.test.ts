/**
 * Random networks of our relays over faulty wires, by seed: ten thousand of them in CI, spread over two processes, and
 * fewer elsewhere. What is looked at, and when, says `scenario`. Nothing is printed unless a seed fails; then what
 * went wrong is, with the last things that happened, and how to play that seed again.
 *
 * `SIM_SEEDS=n` plays so many, `SIM_SEED=n` that one alone, in this process.
 */
import { describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { Scenario } from './scenario.ts';

const SEEDS_CI = 10_000;
const SEEDS_ELSEWHERE = 1000;
const PROCESSES = 2;
const NO_TIMEOUT_MS = 24 * 3600 * 1000;

const chosen = process.env['SIM_SEED'];
const isCi = (process.env['CI'] ?? '') !== '';
const count = Number(process.env['SIM_SEEDS'] ?? (isCi ? SEEDS_CI : SEEDS_ELSEWHERE));

/** Play every `PROCESSES`-th seed from `first` on in a process of its own. Returns what it says when one fails. */
async function playApart(first: number): Promise<string> {
  const share = Math.ceil((count + 1 - first) / PROCESSES);
  const argv = [join(import.meta.dir, 'seeds.ts'), `${first}`, `${share}`, `${PROCESSES}`];
  const child = Bun.spawn([process.execPath, ...argv], { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe' });
  const said = await child.stderr.text();
  return (await child.exited) === 0 ? '' : said || `the process of seeds ${first}, ... was killed`;
}

describe('random networks', () => {
  test.skipIf(chosen !== undefined)(
    `${count} seeds`,
    async () => {
      const firsts = Array.from({ length: Math.min(PROCESSES, count) }, (_, i) => 1 + i);
      const said = await Promise.all(firsts.map(playApart));
      if (said.some((one) => one !== '')) throw new Error(said.join('\n'));
    },
    NO_TIMEOUT_MS,
  );

  if (chosen !== undefined) {
    test(`seed ${chosen}`, () => new Scenario(Number(chosen)).run(), NO_TIMEOUT_MS);
  }

  test('a seed plays the same each time', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const [one, other] = [new Scenario(seed), new Scenario(seed)];
      one.run();
      other.run();
      expect(other.told).toEqual(one.told);
    }
  });
});
