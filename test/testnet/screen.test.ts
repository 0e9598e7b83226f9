/** What a person sees of a test network. */
import { describe, expect, test } from 'bun:test';
import { drawLine, drawPage, fit } from '../../src/testnet/screen.ts';
import { COLOURS, PLAIN } from '../../src/testnet/style.ts';
import { networkView, relayView } from './a-view.ts';

describe('the page', () => {
  const page = drawPage(networkView(), 100, PLAIN).join('\n');

  test('says where things stand', () => {
    expect(page).toContain('running   0:42 of 1:00   consensus 4 lists 4 relays');
    expect(drawPage(networkView({ totalSec: null }), 100, PLAIN)[0]).toContain('running   0:42   consensus');
  });

  test('has a line for each relay', () => {
    const lines = page.split('\n').map((line) => line.trimStart().replace(/ {2,}/g, '|'));
    expect(lines).toContain('guard1|guard, directory|1.00|2.00|3|25 %|█████████');
    expect(lines).toContain('exit1|exit|1.00|4.00|3|25 %|██████████████████');
    expect(lines).toContain('stranger|joined us');
  });

  test('has the path of each circuit, and how its streams are', () => {
    expect(page).toMatch(/#7 {4}us → guard1 → middle1 → exit1 +1 stream, 5\.00 MB/);
    expect(page).toMatch(/#8 {4}us → guard1 → stranger → exit1 +being built/);
    expect(page).toContain('circuits of our client: 2 now, 7 built so far');
  });

  test('says how downloads go', () => {
    expect(page).toContain(
      '3 whole, none failed, 1 under way   35.0 MB checked   9.00 MB/s now, 8.00 on average',
    );
    const { downloads } = networkView();
    const bad = drawPage(
      networkView({ downloads: { ...downloads, failed: 2, lastFailure: 'no way' } }),
      100,
      PLAIN,
    );
    expect(bad.join('\n')).toContain('2 failed');
    expect(bad.join('\n')).toContain('last failure: no way');
  });

  test('in colours is as wide, and fits any terminal', () => {
    const plain = drawPage(networkView(), 100, PLAIN);
    expect(drawPage(networkView(), 100, COLOURS).map((line) => Bun.stripANSI(line))).toEqual(plain);
    for (const columns of [20, 40, 79]) {
      for (const line of drawPage(networkView(), columns, COLOURS)) {
        expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
      }
    }
  });

  test('shows the circuits in use before others when there are many', () => {
    const circuits = Array.from({ length: 30 }, (_, i) => ({
      number: i + 1,
      state: 'open' as const,
      nicknames: ['a', 'b', 'c'],
      streams: i === 0 ? 1 : 0,
      received: 0,
    }));
    const shown = drawPage(networkView({ circuits }), 100, PLAIN).filter((line) => /^ {2}#/.test(line));
    expect(shown.length).toBeLessThan(10);
    expect(shown[0]).toStartWith('  #1 ');
    expect(shown.at(-1)).toStartWith('  #30 ');
  });

  test('before the first consensus says what is waited for', () => {
    const relays = [relayView('guard1', { isListed: false })];
    const [head] = drawPage(networkView({ phase: 'waiting', consensuses: 0, relays }), 100, PLAIN);
    expect(head).toContain('upload their descriptors');
  });
});

test('a line has it all in short', () => {
  expect(drawLine(networkView())).toBe(
    '0:42  running, 4 relays listed, 3 downloads whole, 0 failed, 35.0 MB, 9.00 MB/s  guard1→middle1→exit1',
  );
  expect(drawLine(networkView({ circuits: [] }))).toEndWith('9.00 MB/s');
});

test('lines are cut by what is seen of them', () => {
  expect(fit('short', 10)).toBe('short');
  expect(fit('a line that is too long', 10)).toBe('a line th…');
  expect(Bun.stripANSI(fit(COLOURS.good('a line that is too long'), 10))).toBe('a line th…');
});
