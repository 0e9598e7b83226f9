/** Progress on a terminal and in a log. */
import { expect, test } from 'bun:test';
import { Progress } from '../../src/bench/progress.ts';

function make(isTTY: boolean): { progress: Progress; said: string[] } {
  const said: string[] = [];
  return { progress: new Progress({ isTTY, write: (text) => said.push(text) }), said };
}

test('a log gets lines, and not one for every step', () => {
  const { progress, said } = make(false);
  for (let i = 0; i < 50; i++) progress.tell(`${i} %`);
  progress.clear();
  expect(said[0]).toBe('0 %\n');
  expect(said.length).toBeLessThan(50);
  expect(said.every((text) => text.endsWith('\n'))).toBe(true);
});

test('a terminal gets one line that is taken away', () => {
  const { progress, said } = make(true);
  progress.tell('halfway');
  progress.clear();
  progress.clear();
  expect(said).toEqual(['\rhalfway', `\r${' '.repeat(7)}\r`]);
});
