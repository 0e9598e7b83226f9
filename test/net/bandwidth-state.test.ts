/** The `BWHistory*` lines go from us to C tor and back through a `state` file. */

import { expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BandwidthHistory, PERIOD_SEC } from '../../src/stats/bandwidth-history.ts';

setDefaultTimeout(60_000);

const ZERO = { read: 0, written: 0, ipv6Read: 0, ipv6Written: 0 };

function readState(path: string): Map<string, string> {
  const lines = readFileSync(path, 'utf8').split('\n');
  return new Map(lines.filter((line) => line.startsWith('BWHistory')).map((line) => splitLine(line)));
}

function splitLine(line: string): [string, string] {
  const space = line.indexOf(' ');
  return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
}

test.skipIf(Bun.which('tor') === null)(
  'C tor takes over our bandwidth history and gives it back',
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'c-tor-state-'));
    chmodSync(data, 0o700);
    const state = join(data, 'state');
    const log = join(data, 'log');
    const nowSec = Math.floor(Date.now() / 1000);
    const ours = new BandwidthHistory(nowSec - 2 * PERIOD_SEC - 1000);
    ours.sample(nowSec - 2 * PERIOD_SEC - 1000, { ...ZERO, read: 10_240_000, written: 20_480_000 });
    ours.sample(nowSec - PERIOD_SEC, { ...ZERO, read: 10_240_000 + 1024, written: 20_480_000 });
    ours.sample(nowSec, { ...ZERO, read: 10_240_000 + 1024, written: 20_480_000 });
    const lines = new Map<string, string>();
    ours.save({ get: (key) => lines.get(key), set: (key, value) => lines.set(key, value) });
    writeFileSync(state, [...lines].map(([key, value]) => `${key} ${value}\n`).join(''));
    const torrc = [
      `DataDirectory ${data}`,
      `Log info file ${log}`,
      'TestingTorNetwork 1',
      `DirAuthority nobody orport=1 no-v2 127.0.0.1:1 ${'A'.repeat(40)}`,
      'SocksPort 0',
      'ORPort 127.0.0.1:auto',
      'Address 127.0.0.1',
      'PublishServerDescriptor 0',
      'AssumeReachable 1',
      'ShutdownWaitLength 0',
    ];
    writeFileSync(join(data, 'torrc'), `${torrc.join('\n')}\n`);
    const child = Bun.spawn(['tor', '--quiet', '-f', join(data, 'torrc')], {
      stdout: 'ignore',
      stderr: 'ignore',
    });
    try {
      for (
        let i = 0;
        i < 1200 && !/Opened OR listener/.test(existsSync(log) ? readFileSync(log, 'utf8') : '');
        i++
      ) {
        await Bun.sleep(50);
      }
      child.kill('SIGINT');
      await child.exited;
      const said = readFileSync(log, 'utf8');
      expect(said).toContain('Opened OR listener');
      expect(said).not.toMatch(/Parsing of bandwidth history|Could not parse/);
      const theirs = readState(state);
      expect(theirs.get('BWHistoryReadInterval')).toBe(String(PERIOD_SEC));
      const back = new BandwidthHistory(nowSec);
      expect(back.load({ get: (key) => theirs.get(key), set: () => undefined }, nowSec + 60)).toEqual([]);
      back.sample(nowSec + 60, ZERO);
      expect(back.observedBytesPerSec(PERIOD_SEC)).toBe(1_024_000);
      const read = back.published(0).find(({ keyword }) => keyword === 'read-history')!;
      expect(read.values.length).toBe(2);
      // Spreading a total over the seconds of its interval loses less than one byte a second.
      expect(Math.abs(read.values[0]! - 10_240_000)).toBeLessThanOrEqual(PERIOD_SEC + 1024);
    } finally {
      child.kill('SIGKILL');
      rmSync(data, { recursive: true, force: true });
    }
  },
);
