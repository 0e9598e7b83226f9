/**
 * Configuration cases: a folder each under `test/torrc`, with `torrc` (and what it includes), perhaps `cmdline`
 * (one argument per line) and `defaults`, and either `expected` or `error`.
 *
 * `expected` holds warnings, notes, the resolved ORPorts and the short dump; `error` holds the one message.
 * UPDATE_TORRC_CASES=1 rewrites them from what the code says now, for reading before a commit.
 */
import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { printEndpoint } from '../../src/bytes/address.ts';
import { dumpConfig } from '../../src/cli/dump-config.ts';
import { OperatorError } from '../../src/fault.ts';
import { parseCommandLine } from '../../src/torrc/command-line.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { orPortEndpoints } from '../../src/torrc/port.ts';
import { readIncludes } from '../../src/torrc/torrc-file.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const ROOT = import.meta.dir;
const UPDATE = process.env['UPDATE_TORRC_CASES'] === '1';

function readIfThere(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

function runCase(folder: string): { error: string | null; expected: string | null } {
  const include = (pattern: string) => {
    const files = readIncludes(join(folder, pattern));
    if (typeof files === 'string') return files;
    return files.map((file) => ({ name: file.name.replace(`${folder}/`, ''), text: file.text }));
  };
  try {
    const argv = (readIfThere(join(folder, 'cmdline')) ?? '').split('\n').filter((word) => word !== '');
    const commandLine = parseCommandLine(argv);
    const defaults = parseTorrc(readIfThere(join(folder, 'defaults')) ?? '', 'defaults', include);
    const torrc = readIfThere(join(folder, 'torrc'));
    const lines = parseTorrc(torrc ?? '', 'torrc', include);
    const built = buildOptions({
      layers: [defaults, lines, commandLine.overrides],
      torrcName: torrc === null ? null : 'torrc',
      home: '/home/relay',
    });
    const text = [
      ...built.warnings.map((line) => `[warn] ${line}`),
      ...built.notes.map((line) => `[notice] ${line}`),
      ...orPortEndpoints(built.options.orPorts).map((each) => {
        const port = each.port === 'auto' ? 0 : each.port;
        const place = printEndpoint({ host: each.host, port }).replace(/:0$/, ':auto');
        return `[orport]${each.listen ? ' listen' : ''}${each.advertise ? ' advertise' : ''} ${place}`;
      }),
      dumpConfig(built, 'short'),
    ];
    return { error: null, expected: text.join('\n') };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { error: `${error.message}\n`, expected: null };
  }
}

describe('torrc cases', () => {
  const names = readdirSync(ROOT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);

  test('there are at least 40', () => {
    expect(names.length).toBeGreaterThanOrEqual(40);
  });

  for (const name of names.sort()) {
    test(name, () => {
      const folder = join(ROOT, name);
      const got = runCase(folder);
      if (UPDATE) {
        for (const file of ['expected', 'error'] as const) {
          const text = got[file];
          if (text === null) rmSync(join(folder, file), { force: true });
          else writeFileSync(join(folder, file), text);
        }
      }
      // A hint is a line to write, or names what to remove.
      expect(got.error ?? '').not.toMatch(/: (keep|lower|raise|remove|set) (both|it|one of|them)\b[^/]*$/);
      expect(got).toEqual({
        error: readIfThere(join(folder, 'error')),
        expected: readIfThere(join(folder, 'expected')),
      });
    });
  }
});
