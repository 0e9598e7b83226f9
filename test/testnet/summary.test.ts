/** What is said of a network at its end. */
import { expect, test } from 'bun:test';
import { PLAIN } from '../../src/testnet/style.ts';
import { printSummary, printSummaryJson, summarize } from '../../src/testnet/summary.ts';
import { networkView } from './a-view.ts';

const { downloads } = networkView();

test('a network whose downloads went well is fine', () => {
  const summary = summarize(networkView());
  expect(summary.ok).toBe(true);
  const text = printSummary(summary, PLAIN);
  expect(text).toContain('3 downloads through three relays, every byte as it should be');
  expect(text).toMatch(/^guard1 +guard +10\.0 +20\.0 +1\.50 +75\.00$/m);
  // Of relays of others we know nothing.
  expect(text).not.toContain('stranger');
  expect(JSON.parse(printSummaryJson(summary))).toEqual(JSON.parse(JSON.stringify(summary)));
});

test.each([
  [{ done: 0 }, 'no download came to its end'],
  [{ failed: 1, lastFailure: 'a wrong byte' }, '1 downloads failed, 3 went well (a wrong byte)'],
])('one with %j is not', (changes, text) => {
  const summary = summarize(networkView({ downloads: { ...downloads, ...changes } }));
  expect(summary.ok).toBe(false);
  expect(printSummary(summary, PLAIN)).toContain(text);
});
