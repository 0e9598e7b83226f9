/** The words behind `onionrelay testnet`. */
import { describe, expect, test } from 'bun:test';
import { OperatorError } from '../../src/fault.ts';
import { EXIT_USAGE, parseTestnet } from '../../src/testnet/options.ts';

describe('the words', () => {
  test('may be none', () => {
    expect(parseTestnet([])).toEqual({
      relays: 6,
      minutes: null,
      downloads: 3,
      downloadBytes: 10_000_000,
      socksPort: 0,
      json: false,
    });
  });

  test('say everything', () => {
    const words = '--relays 12 --minutes .5 --downloads 0 --size 2GB --socks-port 9150 --json'.split(' ');
    expect(parseTestnet(words)).toEqual({
      relays: 12,
      minutes: 0.5,
      downloads: 0,
      downloadBytes: 2_000_000_000,
      socksPort: 9150,
      json: true,
    });
    expect(parseTestnet(['--minutes=2', '--size=500kb'])).toMatchObject({
      minutes: 2,
      downloadBytes: 500_000,
    });
  });

  test.each([
    ['--relays', '2'],
    ['--relays', '101'],
    ['--relays', 'many'],
    ['--minutes', '0'],
    ['--minutes', 'long'],
    ['--size', '0'],
    ['--size', '3TB'],
    ['--socks-port', '70000'],
    ['--downloads', '-1'],
    ['--nonsense', '1'],
    ['more', '--json'],
    ['--json', '--relays'],
  ])('%j %j are refused with a hint', (first, second) => {
    try {
      parseTestnet([first, second]);
      throw new Error('was taken');
    } catch (error) {
      expect(error).toBeInstanceOf(OperatorError);
      expect((error as OperatorError).exitCode).toBe(EXIT_USAGE);
      expect((error as OperatorError).hint).not.toBe('');
    }
  });
});
