import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BandwidthWatch } from '../../src/daemon/bandwidth-watch.ts';
import { StateFile } from '../../src/daemon/state-file.ts';
import { WireTraffic } from '../../src/directory/wire-traffic.ts';
import { Bandwidth } from '../../src/shm/bandwidth.ts';
import { Counter, Scoreboard } from '../../src/shm/scoreboard.ts';
import { parseTorrc } from '../../src/torrc/line.ts';
import { buildOptions } from '../../src/torrc/validate.ts';

const START_SEC = 1_800_000_000;
let at = '';

beforeEach(() => {
  at = mkdtempSync(join(tmpdir(), 'onionrelay-watch-'));
});

afterEach(() => rmSync(at, { recursive: true, force: true }));

function optionsOf(...lines: string[]) {
  const parsed = parseTorrc(['ORPort 9001', ...lines].join('\n'), 'torrc', () => 'none');
  return buildOptions({ layers: [parsed], torrcName: 'torrc', home: '/root' }).options;
}

test('what links and directory connections move is seen, and limits that were hit are told', () => {
  const watch = new BandwidthWatch(StateFile.load(join(at, 'state'), START_SEC), START_SEC);
  const scoreboard = new Scoreboard(Scoreboard.create(1), 0);
  const bandwidth = new Bandwidth(Bandwidth.create(1, 0));
  const traffic = new WireTraffic();
  for (let second = 1; second <= 60; second++) {
    scoreboard.add(Counter.bytes_read, 1000);
    scoreboard.add(Counter.bytes_written, 1000);
    if (second === 30) scoreboard.add(Counter.bandwidth_read_limit_hit, 3);
    watch.sample(START_SEC + second, { scoreboard, bandwidth }, traffic, false);
  }
  const options = optionsOf();
  const soon = { ...options, testing: { ...options.testing, minTimeToReportBandwidthSec: 30 } };
  expect(watch.observed(options)).toBe(0);
  expect(watch.observed(soon)).toBeGreaterThan(900);
  const told = watch.overloadLines(START_SEC + 61, optionsOf());
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(/^overload-ratelimits 1 .* 1 0$/);
  expect(watch.overloadLines(START_SEC + 61, optionsOf('OverloadStatistics 0'))).toEqual([]);
});
