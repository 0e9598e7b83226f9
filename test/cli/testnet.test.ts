/** `onionrelay testnet` on the command line; what it does is shown by test/net/testnet.test.ts. */
import { describe, expect, test } from 'bun:test';
import { EXIT_USAGE, TESTNET_OPTIONS } from '../../src/testnet/options.ts';
import { onionrelayCommand } from '../net/network-node.ts';

function run(...args: string[]): { code: number | null; out: string; error: string } {
  const child = Bun.spawnSync([...onionrelayCommand(), ...args], { stdin: 'ignore' });
  return { code: child.exitCode, out: child.stdout.toString(), error: child.stderr.toString() };
}

describe('onionrelay testnet', () => {
  test('has a help with every option and examples', () => {
    const { code, out } = run('testnet', '--help');
    expect(code).toBe(0);
    for (const { name } of TESTNET_OPTIONS) expect(out).toContain(`--${name}`);
    expect(out).toContain('EXAMPLES');
    expect(out).toContain('Nothing leaves this\nmachine');
  });

  test('is named by the program’s help', () => {
    expect(run('--help').out).toContain('testnet');
  });

  test('says what is wrong with its words, and starts nothing', () => {
    const { code, out, error } = run('testnet', '--relays', '1');
    expect([code, out]).toEqual([EXIT_USAGE, '']);
    expect(error).toContain('--relays "1" is not a number from 3 to 100');
    expect(error).toContain('testnet --help');
  });
});
