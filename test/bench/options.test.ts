/** The words behind `onionrelay bench`. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BENCH_OPTIONS, type Call, MODE_WORDS, parseCall } from '../../src/bench/options.ts';
import type { Row } from '../../src/bench/suite.ts';
import { OperatorError } from '../../src/fault.ts';

const folder = mkdtempSync(join(tmpdir(), 'onionrelay-'));
afterAll(() => rmSync(folder, { recursive: true }));

type Measure = Extract<Call, { kind: 'measure' }>;

function measure(words: string): Measure {
  const call = parseCall(words.split(' ').filter(Boolean), null);
  if (call.kind !== 'measure') throw new Error('nothing is measured');
  return call;
}

function row(words: string): Row {
  const { rows } = measure(words);
  expect(rows.length).toBe(1);
  return rows[0]!;
}

function refusal(words: string): string {
  try {
    measure(words);
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).exitCode).toBe(2);
    return (error as OperatorError).message;
  }
  throw new Error(`"${words}" was not refused`);
}

describe('modes', () => {
  test('a flood of ours is usual', () => {
    const { shape, entries, bounds } = row('');
    expect(shape).toMatchObject({ mode: 'flood', circuits: 500, connections: 4, nextHops: 1, bytes: 1e9 });
    expect(entries.map(({ name }) => name)).toEqual(['ours']);
    expect(bounds).toEqual([]);
    expect(measure('').setup).toMatchObject({ runs: 3, workers: 2, tor: 'tor', cores: null, torrc: [] });
  });

  test('each mode has its shape', () => {
    expect(row('paced').shape).toMatchObject({ connections: 100, nextHops: 100, bytesPerSec: 60e6 });
    expect(row('paced --rate 250').shape.bytesPerSec).toBe(250e6);
    expect(row('latency --probes 10 --gap 2').shape).toMatchObject({
      probes: 10,
      gapMs: 2,
      bytesPerSec: null,
    });
    expect(row('churn --total 50 --handshake ntor-v3 --hops 2 --in-flight 9').shape).toMatchObject({
      churned: 50,
      warmUpChurned: 50,
      handshake: 'ntor-v3',
      hops: 2,
      inFlight: 9,
      probes: 0,
    });
    expect(row('idle --links 250 --hold 0.5').shape).toMatchObject({ links: 250, addresses: 3, holdMs: 500 });
    const exit = row('exit --streams 9 --flow windows');
    expect(exit.shape).toMatchObject({ streams: 9, congestion: false, circuits: 4, connections: 2 });
    expect(exit.torrc).toContain('ExitRelay 1');
    const directory = row('directory --total 70 --relays 9 --streams 4 --bound 0.5 --against tor');
    expect(directory.shape).toMatchObject({ requests: 70, warmUpRequests: 70, relays: 9, streams: 4 });
    expect(directory.bounds[0]).toMatchObject({ figure: 'cpuPerRequest', limit: 0.5 });
    expect(directory.torrc).toEqual(['DirCache 1']);
    expect(row('exit').shape).toMatchObject({ streams: 16, congestion: true });
  });

  test('numbers and words reach the load', () => {
    const words =
      '--circuits 8 --connections 2 --next-hops 3 --direction forward --gigabytes 0.5 --warm-up 0 --window 9 --burst 2';
    expect(row(words).shape).toMatchObject({
      circuits: 8,
      connections: 2,
      nextHops: 3,
      direction: 'forward',
      bytes: 0.5e9,
      warmUpBytes: 0,
      window: 9,
      burst: 2,
    });
    const { setup } = measure('--workers 1 --cores 0-1 --torrc A --torrc B --runs 7 --tor /x --executable y');
    expect(setup).toMatchObject({
      workers: 1,
      cores: '0-1',
      torrc: ['A', 'B'],
      runs: 7,
      tor: '/x',
      executable: 'y',
    });
  });

  test('the suite has rows of its own, five runs, and as much work as told', () => {
    const { suite, rows, setup } = measure('suite');
    expect([suite, rows.length > 10, setup.runs]).toEqual([true, true, 5]);
    const some = measure('all --only flood-8 --only churn --gigabytes 0.1 --total 10 --runs 1');
    expect(some.rows.map(({ name }) => name)).toEqual([
      'flood-8',
      'churn-ntor',
      'churn-ntor-v3',
      'churn-latency',
    ]);
    expect(some.rows[0]!.shape.bytes).toBe(0.1e9);
    expect(some.rows[1]!.shape).toMatchObject({ churned: 10, warmUpChurned: 10, probes: 0 });
    expect(measure('suite --only flood-500').rows.map(({ name }) => name)).toEqual(['flood-500']);
  });

  test('memory is watched while circuits and links come and go', () => {
    const call = (words: string) => parseCall(words.split(' '), null);
    expect(call('memory')).toMatchObject({
      kind: 'memory',
      entry: { name: 'ours' },
      wish: { circuits: 100_000, links: 5000 },
    });
    expect(call('memory --target tor --total 10 --links 3')).toMatchObject({
      entry: { name: 'C tor' },
      wish: { circuits: 10, links: 3 },
    });
  });

  test('a chart is made of results', () => {
    expect(parseCall(['chart', 'a.json', '--chart', 'b.svg'], null)).toEqual({
      kind: 'chart',
      from: 'a.json',
      chart: 'b.svg',
    });
  });
});

describe('beside', () => {
  test('relays are compared, the same one also with itself', () => {
    const names = (words: string) => row(words).entries.map(({ name }) => name);
    expect(names('--against tor')).toEqual(['ours', 'C tor']);
    expect(names('--target tor --against ours')).toEqual(['C tor', 'ours']);
    expect(names('--against ours')).toEqual(['ours', 'ours again']);
  });

  test('bounds mean what the mode measures', () => {
    const figure = (words: string) => row(words).bounds.map((bound) => [bound.figure, bound.of, bound.limit]);
    expect(figure('--against tor --bound 0.45 --bound rss<200')).toEqual([
      ['cpuPerGb', 'ratio', 0.45],
      ['rss', 'figure', 200],
    ]);
    expect(figure('churn --against tor --bound cpu=0.8')).toEqual([['cpuPerCircuit', 'ratio', 0.8]]);
    expect(figure('churn --bound cpu<120')).toEqual([['cpuPerCircuit', 'figure', 120]]);
  });

  test('a placement is of ours', () => {
    const placed = row('--placement remote --against tor').entries;
    expect(placed.map(({ placement }) => placement)).toEqual(['remote', null]);
  });

  test('a share of the pace is of what stands beside', () => {
    expect(row('latency --rate 80% --against tor').paceShare).toBe(0.8);
    expect(row('latency --rate 5').paceShare).toBeNull();
  });
});

describe('output', () => {
  test('--json alone prints, with a file it keeps', () => {
    const output = (words: string) => measure(words).output;
    expect(output('--json')).toEqual({ json: true, jsonFile: null, chart: null });
    expect(output('--json flood')).toEqual({ json: true, jsonFile: null, chart: null });
    expect(output('--json out.json')).toEqual({ json: false, jsonFile: 'out.json', chart: null });
    expect(output('--json=flood churn')).toEqual({ json: false, jsonFile: 'flood', chart: null });
    expect(output('--json --runs 1 --chart c.svg')).toEqual({ json: true, jsonFile: null, chart: 'c.svg' });
  });
});

describe('a running relay', () => {
  test('is named by its address and DataDirectory', () => {
    expect(measure('--target 127.0.0.2:9001 --data-directory /x').setup.attach).toEqual({
      dataDirectory: '/x',
      host: '127.0.0.2',
      port: 9001,
      rsaId: null,
      ed25519Id: null,
      ntorKey: null,
      pid: null,
    });
    expect(measure('--data-directory /x --port 7 --pid 3').setup.attach).toMatchObject({
      host: '127.0.0.1',
      port: 7,
      pid: 3,
    });
    expect(row('--target localhost:9001 --data-directory /x').entries[0]).toMatchObject({
      name: '127.0.0.1:9001',
      kind: 'attached',
    });
  });

  test('is found by its torrc', () => {
    const torrc = join(folder, 'torrc');
    writeFileSync(torrc, 'ORPort 7001\nDataDirectory /var/lib/x\nContactInfo me@example.org\n');
    expect(measure(`--torrc-file ${torrc}`).setup.attach).toMatchObject({
      dataDirectory: '/var/lib/x',
      host: '127.0.0.1',
      port: 7001,
    });
    writeFileSync(torrc, 'ORPort 192.0.2.7:7001\nDataDirectory /var/lib/x\nContactInfo me@example.org\n');
    expect(refusal(`--torrc-file ${torrc}`)).toContain('no ORPort on IPv4 loopback');
  });

  test.each([
    '192.0.2.1:9001',
    '0.0.0.0:9001',
    '[::1]:9001',
    'example.org:9001',
    '128.0.0.1:9001',
    '127.1:9001',
  ])('%s is not on loopback', (target) => {
    expect(refusal(`--target ${target} --data-directory /x`)).toContain('loopback');
  });
});

test.each([
  ['frod', 'no mode "frod"'],
  ['flood extra', 'one word too many'],
  ['--frob 1', "Unknown option '--frob'"],
  ['--runs 0', 'at least 1'],
  ['--runs 1.5', 'whole number'],
  ['--circuits x', '"x" is not a number'],
  ['--direction up', 'none of forward, backward, both'],
  ['--target 127.0.0.1', 'not HOST:PORT'],
  ['--target 127.0.0.1:99999 --data-directory /x', 'not HOST:PORT'],
  ['--port 9', 'for a running relay'],
  ['--data-directory /nowhere', '--port'],
  ['--bound 0.5', 'needs something beside'],
  ['--bound frob=1 --against tor', 'no figure "frob"'],
  ['--rate 5', 'for paced and latency'],
  ['latency --rate 80%', 'add --against tor'],
  ['--only flood', 'for the suite'],
  ['suite --only frob', 'no row "frob"'],
  ['suite --circuits 5', 'no meaning for the suite'],
  ['suite --target tor', 'no meaning for the suite'],
  ['churn --placement half', 'for floods'],
  ['--target tor --placement half', 'relay of ours'],
  ['--placement half --workers 3', 'two workers'],
  ['memory --against tor', 'no meaning for memory'],
  ['chart', 'one file of results'],
])('"%s" is refused', (words, why) => {
  expect(refusal(words)).toContain(why);
});

test('every option and mode is in the table of the help, once', () => {
  const names = BENCH_OPTIONS.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(MODE_WORDS).toContain('suite');
  for (const { text } of BENCH_OPTIONS) expect(text.length).toBeGreaterThan(10);
});
