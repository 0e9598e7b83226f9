/** `onionrelay bench` from outside: tiny loads, what is printed, exit status. */
import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Report } from '../../src/bench/report.ts';
import { folder, runToEnd } from '../daemon/relay-process.ts';
import { orPortOf, QUIET_RELAY, startCTor } from '../net/c-tor.ts';
import { waitUntil } from '../net/network-node.ts';
import { RelayProcess } from '../net/relay-process.ts';

const PATIENCE_MS = 240_000;
const TINY = ['--circuits', '8', '--gigabytes', '0.005', '--warm-up', '0.001', '--runs', '1'];
const HAS_TOR = Bun.which('tor') !== null;

const bench = (...words: string[]) => runToEnd(['bench', ...words]);

describe('a flood of ours', () => {
  test(
    'gives JSON, holds a bound that it holds, and leaves nothing behind',
    async () => {
      const at = folder();
      const words = [...TINY, '--json', '--bound', 'rss<4000', '--bound', 'rate>0.001'];
      const { code, out, err } = await runToEnd(['bench', ...words], { env: { TMPDIR: at } });
      expect([code, err.includes('ours, run 1')]).toEqual([0, true]);
      const report = JSON.parse(out) as Report;
      const [row] = report.rows;
      expect([report.held, row!.clean, row!.held]).toEqual([true, true, true]);
      const [run] = row!.runs;
      expect(run!.check).toMatchObject({ expected: 8, inStep: 8, lost: 0, corrupt: 0, closed: [] });
      expect(run!.figures.rate).toBeGreaterThan(0);
      expect(run!.figures.cpuPerGb).toBeGreaterThanOrEqual(0);
      expect(run!.placement!.workers.length).toBe(2);
      expect(readdirSync(at)).toEqual([]);
    },
    PATIENCE_MS,
  );

  test(
    'prints a table, keeps JSON and a chart in files, and exits with 1 when a bound does not hold',
    async () => {
      const at = folder();
      const [json, svg] = [join(at, 'r.json'), join(at, 'r.svg')];
      const { code, out } = await bench(...TINY, '--bound', 'rss<0.5', '--json', json, '--chart', svg);
      expect(code).toBe(1);
      expect(out).toStartWith('8 circuits, 4 connections, 1 next hop, both ways, 0.005 GB a run\n');
      expect(out).toMatch(/^ours median /m);
      expect(out).toContain('NOT HELD');
      expect((JSON.parse(readFileSync(json, 'utf8')) as Report).held).toBe(false);
      expect(readFileSync(svg, 'utf8')).toStartWith('<svg ');
      const again = await bench('chart', json);
      expect([again.code, again.out]).toEqual([0, readFileSync(svg, 'utf8')]);
    },
    PATIENCE_MS,
  );

  test(
    'can be placed so that every circuit crosses workers',
    async () => {
      const { code, out } = await bench(...TINY, '--placement', 'remote', '--json');
      expect(code).toBe(0);
      expect((JSON.parse(out) as Report).rows[0]!.runs[0]!.placement!.crossing).toBe(1);
    },
    PATIENCE_MS,
  );
});

describe('other modes', () => {
  test(
    'churn, idle and latency have their figures',
    async () => {
      const runs = async (...words: string[]) => {
        const { code, out } = await bench(...words, '--runs', '1', '--workers', '1', '--json');
        expect(code).toBe(0);
        return (JSON.parse(out) as Report).rows[0]!.runs[0]!;
      };
      const churn = await runs('churn', '--total', '100', '--in-flight', '8');
      expect(churn.figures.circuitsPerSec).toBeGreaterThan(0);
      expect((await runs('idle', '--links', '20', '--hold', '0.2')).figures.links).toBe(20);
      const latency = await runs('latency', '--probes', '20', '--gap', '1');
      expect(Number.isFinite(latency.figures.p99)).toBe(true);
    },
    PATIENCE_MS,
  );
});

test(
  'memory is watched while circuits and links come and go',
  async () => {
    const { code, out } = await bench('memory', '--total', '200', '--links', '20', '--json');
    const { memory } = JSON.parse(out) as Report;
    expect(memory).toMatchObject({ circuits: 200, links: 20, refused: 0, faults: [] });
    expect(memory!.readings.length).toBe(11);
    expect(code).toBe(memory!.held ? 0 : 1);
  },
  PATIENCE_MS,
);

describe.skipIf(!HAS_TOR)('beside C tor', () => {
  test(
    'a ratio is printed',
    async () => {
      const { code, out } = await bench(...TINY, '--against', 'tor', '--bound', 'rss=50');
      expect(out).toMatch(/^ours \/ C tor /m);
      expect(out).toContain('bound ≤ 50.00: held');
      expect(code).toBe(0);
    },
    PATIENCE_MS,
  );
});

describe('a relay that runs is loaded by its DataDirectory', () => {
  const load = async (directory: string, port: number): Promise<void> => {
    const where = ['--data-directory', directory, '--port', `${port}`];
    const { code, out, err } = await bench(...TINY, ...where, '--json');
    expect([code, code === 0 ? '' : err]).toEqual([0, '']);
    const [run] = (JSON.parse(out) as Report).rows[0]!.runs;
    expect(run!.check).toMatchObject({ inStep: 8, lost: 0, corrupt: 0 });
  };

  test(
    'ours',
    async () => {
      const relay = await RelayProcess.start();
      try {
        await load(relay.directory, relay.port());
        relay.assertWell();
      } finally {
        await relay.stop();
      }
    },
    PATIENCE_MS,
  );

  test.skipIf(!HAS_TOR)(
    'C tor',
    async () => {
      const tor = await startCTor(QUIET_RELAY);
      try {
        const port = await orPortOf(tor);
        const files = ['fingerprint', 'fingerprint-ed25519', 'keys/secret_onion_key_ntor'];
        await waitUntil('its files', PATIENCE_MS, () =>
          files.every((name) => existsSync(join(tor.directory, name))),
        );
        await load(tor.directory, port);
      } finally {
        await tor.stop();
      }
    },
    PATIENCE_MS,
  );
});

describe('exits with 2', () => {
  test.each([
    [['--target', '192.0.2.1:9001'], 'not an address of this machine’s loopback'],
    [['--against', 'tor', '--tor', 'no-such-tor'], 'C tor is not installed'],
    [['--data-directory', '/no/such', '--port', '9'], 'no such folder'],
    [['--circuits', '2'], '2 will not do'],
    [['--frob'], 'see onionrelay bench --help'],
    [['suite', '--only', 'x'], 'no row "x"'],
    [['chart', '/no/such.json'], '/no/such.json'],
  ])(
    '%p',
    async (words, why) => {
      const { code, out, err } = await bench(...words);
      expect([code, out]).toEqual([2, '']);
      expect(err).toContain(why);
      expect(err).not.toContain('    at ');
    },
    PATIENCE_MS,
  );
});

test('the help has examples', async () => {
  const { code, out } = await bench('--help');
  expect(code).toBe(0);
  for (const text of ['--against', '--bound', 'EXAMPLES', 'onionrelay bench suite', 'Exit status']) {
    expect(out).toContain(text);
  }
});
