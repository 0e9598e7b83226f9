import { expect, test } from 'bun:test';
import { randomServerName } from '../../src/channel/server-name.ts';

test('a server name has the form of those that C tor makes up', () => {
  const lengths = new Set<number>();
  for (let i = 0; i < 300; i++) {
    const name = randomServerName((n) => crypto.getRandomValues(new Uint8Array(n)));
    expect(name).toMatch(/^www\.[a-z2-7]{8,19}\.com$/);
    lengths.add(name.length);
  }
  expect(lengths.size).toBeGreaterThan(5);
});

test('it is its random bytes and nothing else', () => {
  const bytes = Uint8Array.from({ length: 20 }, (_, i) => i * 7);
  expect(randomServerName(() => bytes)).toBe(randomServerName(() => bytes.slice()));
});
