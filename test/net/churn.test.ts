/** A relay's memory after many circuits and links have come and gone; `onionrelay bench memory` is the long form. */

import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { allowedRss, churn } from '../bench/churn-load.ts';
import { startTarget, type Target } from '../bench/target.ts';

const PLAN = { circuits: 20_000, links: 1_000, extendEvery: 10, settleMs: 30_000 };
const DEADLINE_MS = 300_000;

describe('a relay whose circuits and links come and go', () => {
  let target: Target;

  beforeAll(async () => {
    target = await startTarget({ kind: 'ours', workers: 2 });
  }, DEADLINE_MS);

  afterAll(async () => {
    await target.stop();
  });

  test(
    'serves all of them and does not grow',
    async () => {
      const { rss, losses } = await churn(target, PLAN);
      expect(losses).toEqual([]);
      expect(rss.at(-1)!).toBeLessThanOrEqual(allowedRss(rss));
      expect(target.exitCode).toBeNull();
      expect(target.log()).not.toContain('bug');
    },
    DEADLINE_MS,
  );
});
