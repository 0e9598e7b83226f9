import { describe, expect, test } from 'bun:test';
import { parseCommandLine, usualTorrcPaths } from '../../src/torrc/command-line.ts';

const PLAIN = {
  action: 'run',
  argument: '',
  torrcPath: null,
  defaultsPath: null,
  ignoreMissing: false,
  quiet: 'normal',
  overrides: [],
} as const;

function override(key: string, value: string, prefix: '' | '+' | '/' = '') {
  return { key, value, prefix, file: 'command line', line: 0 };
}

describe('parseCommandLine', () => {
  test('runs with nothing', () => {
    expect(parseCommandLine([])).toEqual(PLAIN);
  });

  test('takes files and switches', () => {
    expect(
      parseCommandLine([
        '-f',
        'a',
        '--defaults-torrc',
        'b',
        '--ignore-missing-torrc',
        '--hush',
        '--verify-config',
      ]),
    ).toEqual({
      ...PLAIN,
      action: 'verify-config',
      torrcPath: 'a',
      defaultsPath: 'b',
      ignoreMissing: true,
      quiet: 'hush',
    });
  });

  test('takes options with two, one or no dashes, and prefixes', () => {
    const { overrides } = parseCommandLine([
      '--Nickname',
      'a',
      '-ORPort',
      '1',
      'Log',
      'err',
      '+Log',
      'x',
      '--/Address',
    ]);
    expect(overrides).toEqual([
      override('Nickname', 'a'),
      override('ORPort', '1'),
      override('Log', 'err'),
      override('Log', 'x', '+'),
      override('Address', '', '/'),
    ]);
  });

  test('takes a value that begins with a dash', () => {
    expect(parseCommandLine(['--PathBiasUseThreshold', '-1']).overrides).toEqual([
      override('PathBiasUseThreshold', '-1'),
    ]);
  });

  test('takes optional arguments only if they are no switch', () => {
    expect(parseCommandLine(['--list-fingerprint', 'ed25519'])).toMatchObject({
      action: 'list-fingerprint',
      argument: 'ed25519',
    });
    expect(parseCommandLine(['--list-fingerprint', '--quiet'])).toMatchObject({
      argument: '',
      quiet: 'quiet',
    });
    expect(parseCommandLine(['--dump-config', 'full'])).toMatchObject({
      action: 'dump-config',
      quiet: 'quiet',
    });
  });

  test('takes a password as it stands', () => {
    expect(parseCommandLine(['--hash-password', '--secret'])).toMatchObject({
      action: 'hash-password',
      argument: '--secret',
      quiet: 'hush',
    });
  });

  test.each([
    [['-f'], '-f has no value'],
    [['--Nickname'], '--Nickname has no value'],
    [['--'], 'names no option'],
    [['--dump-config', 'long'], 'write --dump-config short or full'],
    [['--keygen-family', 'x'], 'is not supported'],
  ])('refuses %p', (argv, text) => {
    expect(() => parseCommandLine(argv)).toThrow(text);
  });

  test('looks for torrc in the usual places', () => {
    expect(usualTorrcPaths('/home/op/')).toEqual(['/etc/tor/torrc', '/home/op/.torrc']);
    expect(usualTorrcPaths(null)).toEqual(['/etc/tor/torrc']);
  });
});
