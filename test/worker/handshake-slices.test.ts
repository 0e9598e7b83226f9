/** Slices of time for handshakes: short while cells are relayed, long while nobody waits for a cell. */
import { expect, test } from 'bun:test';
import { HandshakeSlices, MOST_MS, RELAYING_MS } from '../../src/worker/handshake-slices.ts';

test('while nothing is relayed a slice is as long as it may be', () => {
  const slices = new HandshakeSlices();
  slices.look(0, 1000);
  expect(slices.budgetMs(0.1, 1000)).toBe(MOST_MS);
});

test('while cells are relayed handshakes take a part of what the turn costs, so that cells wait for a few only', () => {
  const slices = new HandshakeSlices();
  slices.look(1, 1000);
  expect(slices.budgetMs(0, 1000)).toBe(0.25);
  expect(slices.budgetMs(3, 1000)).toBe(1.5);
  expect(slices.budgetMs(50, 1000)).toBe(MOST_MS);
});

test('cells are expected for a while after the last one', () => {
  const slices = new HandshakeSlices();
  slices.look(5, 1000);
  slices.look(5, 1000 + RELAYING_MS);
  expect(slices.budgetMs(0, 1000 + RELAYING_MS)).toBe(0.25);
  expect(slices.budgetMs(0, 1000 + RELAYING_MS + 1)).toBe(MOST_MS);
  slices.look(6, 5000);
  expect(slices.budgetMs(0, 5000)).toBe(0.25);
});
